//! The ways to hold several registrations at once that are compared, and how either end may handle security associations.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::ue::Basis;

/// A way to have a user reachable over several accesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
pub enum Scheme {
    /// Today's registration: one from another address takes the place of the earlier one.
    #[serde(rename = "registration")]
    Registration,
    /// Solution 1: flows of one instance, told apart by `reg-id` (RFC 5626).
    #[serde(rename = "outbound")]
    Outbound,
    /// Solution 2: the S-CSCF asks the UE, through its earlier P-CSCF, whether it is still there.
    #[serde(rename = "connectivity-check")]
    ConnectivityCheck,
    /// Solution 3: a private identity for each registration, derived from the user's.
    #[serde(rename = "modified-impi")]
    ModifiedImpi,
    /// Solutions 3 and 1 together.
    #[serde(rename = "modified-impi+outbound")]
    ModifiedImpiOutbound,
    /// Solutions 3 and 2 together.
    #[serde(rename = "modified-impi+connectivity-check")]
    ModifiedImpiConnectivityCheck,
    /// A subscription to the `security` event package for each access.
    #[serde(rename = "security-subscription")]
    SecuritySubscription,
}

impl Scheme {
    /// All of them, in the order of the comparison.
    pub const ALL: [Self; 7] = [
        Self::Registration,
        Self::Outbound,
        Self::ConnectivityCheck,
        Self::ModifiedImpi,
        Self::ModifiedImpiOutbound,
        Self::ModifiedImpiConnectivityCheck,
        Self::SecuritySubscription,
    ];

    /// Its name in profiles and results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Outbound => "outbound",
            Self::ConnectivityCheck => "connectivity-check",
            Self::ModifiedImpi => "modified-impi",
            Self::ModifiedImpiOutbound => "modified-impi+outbound",
            Self::ModifiedImpiConnectivityCheck => "modified-impi+connectivity-check",
            Self::SecuritySubscription => "security-subscription",
        }
    }

    /// What a UE's secure connections rest on.
    pub(crate) const fn basis(self) -> Basis {
        match self {
            Self::SecuritySubscription => Basis::Subscription,
            _ => Basis::Registration,
        }
    }

    /// Whether the UE names its flows (RFC 5626 clause 4.2).
    #[must_use]
    pub const fn names_flows(self) -> bool {
        matches!(self, Self::Outbound | Self::ModifiedImpiOutbound)
    }

    /// Whether the UE derives a private identity for each registration.
    #[must_use]
    pub const fn modifies_impi(self) -> bool {
        matches!(
            self,
            Self::ModifiedImpi | Self::ModifiedImpiOutbound | Self::ModifiedImpiConnectivityCheck
        )
    }

    /// Whether a registration is meant to leave an earlier one of the same user alone.
    #[must_use]
    pub const fn keeps_earlier(self) -> bool {
        !matches!(self, Self::Registration)
    }

    /// What the registrar does about an earlier registration other than overriding it, as the engine's configuration names it.
    pub(crate) const fn registrar(self) -> Option<&'static str> {
        match self {
            Self::Outbound | Self::ModifiedImpiOutbound => Some("outbound"),
            Self::ConnectivityCheck | Self::ModifiedImpiConnectivityCheck => {
                Some("connectivity-check")
            }
            Self::Registration | Self::ModifiedImpi | Self::SecuritySubscription => None,
        }
    }
}

/// How an end handles sets of security associations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
pub enum SaPolicy {
    /// Today's: a private identity has one set (TS 33.203 clause 7.4). A set-up from another address, once it has succeeded, has the earlier
    /// ones deleted.
    #[serde(rename = "impi")]
    Impi,
    /// Each registration or subscription has a set, told apart by private identity and contact.
    #[default]
    #[serde(rename = "impi-contact")]
    ImpiContact,
}

impl SaPolicy {
    /// Its name in profiles, results and the engine's configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Impi => "impi",
            Self::ImpiContact => "impi-contact",
        }
    }
}
