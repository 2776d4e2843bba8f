//! Subscription-State (RFC 6665 8.2.3).

use crate::error::FieldError;
use crate::params::Params;
use crate::scan::{Cursor, decimal};

/// A Subscription-State value.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SubscriptionState<'b> {
    /// `active`, `pending`, `terminated` or an extension, as spelled.
    pub state: &'b [u8],
    /// `reason`, as spelled.
    pub reason: Option<&'b [u8]>,
    /// `expires` in seconds; `u32::MAX` where it is larger.
    pub expires: Option<u32>,
    /// `retry-after` in seconds; `u32::MAX` where it is larger.
    pub retry_after: Option<u32>,
    /// All parameters.
    pub params: Params<'b>,
}

impl<'b> SubscriptionState<'b> {
    /// Takes a value apart.
    ///
    /// # Errors
    /// If it is not a token with parameters, or a time is no number.
    pub fn parse(value: &'b [u8]) -> Result<SubscriptionState<'b>, FieldError> {
        let mut cursor = Cursor::new(value);
        cursor.space();
        let state = cursor.token("a subscription state")?;
        let params = Params::parse(&mut cursor)?;
        let seconds = |name| match params.get(name) {
            None => Ok(None),
            Some(text) => match decimal(text.unwrap_or_default()) {
                Some(seconds) => Ok(Some(u32::try_from(seconds).unwrap_or(u32::MAX))),
                None => Err(cursor.error("decimal seconds in expires and retry-after")),
            },
        };
        Ok(SubscriptionState {
            state,
            reason: params.value("reason"),
            expires: seconds("expires")?,
            retry_after: seconds("retry-after")?,
            params,
        })
    }

    /// Whether the state is `terminated`.
    pub fn is_terminated(&self) -> bool {
        self.state.eq_ignore_ascii_case(b"terminated")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let state = SubscriptionState::parse(b"active;expires=600000").unwrap();
        assert_eq!((state.state, state.expires), (&b"active"[..], Some(600_000)));
        assert_eq!((state.reason, state.retry_after, state.is_terminated()), (None, None, false));
        let state =
            SubscriptionState::parse(b"Terminated ; reason=probation;retry-after=99999999999");
        let state = state.unwrap();
        assert_eq!((state.reason, state.retry_after), (Some(&b"probation"[..]), Some(u32::MAX)));
        assert!(state.is_terminated());
        for bad in [&b""[..], b"active;expires", b"active;expires=-1", b"active;retry-after=x"] {
            assert!(SubscriptionState::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
