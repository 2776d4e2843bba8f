//! Accept-Contact and Reject-Contact (RFC 3841 9.2 and 10).

use crate::error::FieldError;
use crate::field::feature::Feature;
use crate::params::{self, Params};
use crate::scan::Cursor;

/// One value of Accept-Contact or Reject-Contact: what the contact that is called should be able to do,
/// or should not.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ContactPreference<'b> {
    /// A contact that doesn't match is not called (Accept-Contact only).
    pub require: bool,
    /// A contact that doesn't say all that is asked for counts as one that can't (Accept-Contact only).
    pub explicit: bool,
    /// All parameters.
    pub params: Params<'b>,
}

impl<'b> ContactPreference<'b> {
    /// Takes one value (one list element) apart.
    ///
    /// # Errors
    /// If it is not a star with parameters, or a feature's value can't be read.
    pub fn parse(value: &'b [u8]) -> Result<ContactPreference<'b>, FieldError> {
        params::whole(value, ContactPreference::element)
    }

    /// Takes one apart that ends at a comma or with the text, and sets `stop` to where that is.
    pub(crate) fn element(
        text: &'b [u8],
        stop: &mut usize,
    ) -> Result<ContactPreference<'b>, FieldError> {
        let mut cursor = Cursor::new(text);
        cursor.space();
        if !cursor.accept(b'*') {
            return Err(cursor.error("a star"));
        }
        let (mut require, mut explicit, mut bad) = (false, false, None);
        let params = Params::each(&mut cursor, |name, value| {
            require |= name.eq_ignore_ascii_case(b"require");
            explicit |= name.eq_ignore_ascii_case(b"explicit");
            let feature = Feature::of_param(name, value);
            let wrong = feature.and_then(|feature| feature.values().find_map(Result::err));
            bad = bad.or(wrong);
        })?;
        *stop = cursor.offset();
        match bad {
            Some(error) => Err(error),
            None => Ok(ContactPreference { require, explicit, params }),
        }
    }

    /// The features that it is about.
    pub fn features(&self) -> impl Iterator<Item = Feature<'b>> + use<'b> {
        Feature::all(self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3841 7.2.5's examples.
    #[test]
    fn values() {
        let parsed = |text: &'static str| ContactPreference::parse(text.as_bytes()).unwrap();
        let found = parsed("*;actor=\"msg-taker\";video");
        assert_eq!((found.require, found.explicit, found.features().count()), (false, false, 2));
        let found = parsed("*;audio;require");
        assert_eq!((found.require, found.explicit, found.features().count()), (true, false, 1));
        let found = parsed(" * ; video ; EXPLICIT");
        assert_eq!((found.require, found.explicit, found.features().count()), (false, true, 1));
        let found = parsed("*;methods=\"BYE\";class=\"business\";q=1.0");
        assert_eq!(found.features().count(), 2);
        assert_eq!(parsed("*").features().count(), 0);
        for bad in ["", "audio", "sip:a@b", "*;", "*;+x=\"#4\"", "*;class=\"\"", "*;audio,*;video"]
        {
            assert!(ContactPreference::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
