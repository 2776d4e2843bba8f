//! A comparison of the ways to hold several registrations at once.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::course::{SaPolicy, Scheme};

/// All users go through the same course of steps together, by one of the ways to be reachable over two accesses.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schemes {
    /// The way.
    pub scheme: Scheme,
    /// Over how many P-CSCFs: 1, which both accesses share, or 2, one each. They are the first ones of `topology.pcscf`.
    #[serde(default = "one")]
    pub pcscfs: u32,
    /// How UEs handle sets of security associations.
    #[serde(default)]
    pub ue_sa_policy: SaPolicy,
    /// How P-CSCFs do.
    #[serde(default)]
    pub pcscf_sa_policy: SaPolicy,
    /// Timer T1 between UE and P-CSCF, in milliseconds, from 200 to 2,000. Other than TS 24.229's 2,000 is a deviation.
    #[serde(default = "standard_t1_ms")]
    pub t1_ms: u32,
    /// The one-way delay between the UE and its P-CSCF over each access, in milliseconds; none: over sockets it is the loopback's.
    #[serde(default)]
    pub delay_ms: Option<[f64; 2]>,
}

const fn one() -> u32 {
    1
}

const fn standard_t1_ms() -> u32 {
    2_000
}
