//! Whether access is protected: as TS 33.203 has it, or not at all, for a laboratory where whoever reaches the engine is trusted.
//!
//! Without protection there is nothing that says who a request is from but the request itself: no security agreement (RFC 3329), no security
//! associations, no challenge. GIBA (TS 33.203 annex T) has the same messages, and binds the user to an address that the network gave out; here nothing
//! binds anybody.

use std::str::FromStr;

/// What protects the requests of a P-CSCF's UEs.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessSecurity {
    /// Security associations that AKA makes (TS 33.203 clause 7).
    #[default]
    Ipsec3gpp,
    /// Nothing: it takes all requests on its unprotected port.
    None,
}

impl FromStr for AccessSecurity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ipsec-3gpp" => Ok(Self::Ipsec3gpp),
            "none" => Ok(Self::None),
            other => Err(format!("expected ipsec-3gpp or none, found {other:?}")),
        }
    }
}

/// How an S-CSCF makes sure of who registers.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// By a challenge (TS 33.203 clause 6.1).
    #[default]
    Aka,
    /// Not at all: the public identity in To is believed.
    None,
}

impl FromStr for Authentication {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "aka" => Ok(Self::Aka),
            "none" => Ok(Self::None),
            other => Err(format!("expected aka or none, found {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_are_taken() {
        assert_eq!("none".parse(), Ok(AccessSecurity::None));
        assert_eq!("ipsec-3gpp".parse(), Ok(AccessSecurity::default()));
        assert_eq!("none".parse(), Ok(Authentication::None));
        assert_eq!("aka".parse(), Ok(Authentication::default()));
        for word in ["", "None", "digest", "tls"] {
            assert!(word.parse::<AccessSecurity>().is_err(), "{word}");
            assert!(word.parse::<Authentication>().is_err(), "{word}");
        }
    }
}
