//! Feature parameters (RFC 3840 9): what a Contact says its user agent can do, and what Accept-Contact
//! and Reject-Contact ask for.

use crate::error::FieldError;
use crate::params::Params;
use crate::scan::{Cursor, is_space, trim};

/// The tags that stand without a plus and mean `sip.` and their name (RFC 3841 8).
const SIP_TAGS: [&str; 18] = [
    "audio",
    "automata",
    "class",
    "duplex",
    "data",
    "control",
    "mobility",
    "description",
    "events",
    "priority",
    "methods",
    "schemes",
    "application",
    "video",
    "actor",
    "isfocus",
    "extensions",
    "text",
];

/// The tags that stand without a plus and mean their name (RFC 3841 8).
const PLAIN_TAGS: [&str; 2] = ["language", "type"];

/// A feature tag: which feature a parameter is about.
#[derive(Copy, Clone, Debug)]
pub struct FeatureTag<'b> {
    /// It is of the SIP tree: `sip.` and the name.
    is_sip: bool,
    name: &'b [u8],
}

impl<'b> FeatureTag<'b> {
    /// The tag that a parameter of this name encodes; `None` if it is no feature parameter.
    pub fn of_param(name: &'b [u8]) -> Option<FeatureTag<'b>> {
        let is_any =
            |tags: &[&str]| tags.iter().any(|tag| name.eq_ignore_ascii_case(tag.as_bytes()));
        if let [b'+', name @ ..] = name {
            return Some(match name.split_at_checked(4) {
                Some((tree, rest)) if tree.eq_ignore_ascii_case(b"sip.") => {
                    FeatureTag { is_sip: true, name: rest }
                }
                _ => FeatureTag { is_sip: false, name },
            });
        }
        if is_any(&SIP_TAGS) {
            return Some(FeatureTag { is_sip: true, name });
        }
        is_any(&PLAIN_TAGS).then_some(FeatureTag { is_sip: false, name })
    }

    /// Whether both are the same feature: `+sip.audio` is `audio`.
    pub fn same(&self, other: &FeatureTag<'_>) -> bool {
        self.is_sip == other.is_sip && self.name.eq_ignore_ascii_case(other.name)
    }
}

/// One value of a feature, or a range of them.
#[derive(Copy, Clone, PartialEq, Debug)]
pub enum Value<'b> {
    /// A token or boolean, in any case.
    Token(&'b [u8]),
    /// A string, without its angle brackets, its escapes as they are; case counts.
    Text(&'b [u8]),
    /// A number from `least` to `most`, both included.
    Number {
        /// The least one; negative infinity where there is none.
        least: f64,
        /// The greatest one; infinity where there is none.
        most: f64,
    },
}

impl Value<'_> {
    fn overlaps(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Token(a), Value::Token(b)) => a.eq_ignore_ascii_case(b),
            (Value::Text(a), Value::Text(b)) => unescaped(a).eq(unescaped(b)),
            (
                Value::Number { least, most },
                Value::Number { least: other_least, most: other_most },
            ) => least.max(*other_least) <= most.min(*other_most),
            _ => false,
        }
    }

    fn is_within(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (
                Value::Number { least, most },
                Value::Number { least: other_least, most: other_most },
            ) => least >= other_least && most <= other_most,
            _ => self.overlaps(other),
        }
    }
}

/// One element of a feature's list of values.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct TagValue<'b> {
    /// All but this value (`!`).
    pub is_negated: bool,
    /// The value.
    pub value: Value<'b>,
}

impl<'b> TagValue<'b> {
    /// Whether there is a value that both are.
    fn meets(&self, other: &TagValue<'_>) -> bool {
        match (self.is_negated, other.is_negated) {
            (false, false) => self.value.overlaps(&other.value),
            (true, false) => !other.value.is_within(&self.value),
            (false, true) => !self.value.is_within(&other.value),
            // There are always others.
            (true, true) => true,
        }
    }

    fn parse(text: &'b [u8]) -> Result<TagValue<'b>, FieldError> {
        let (is_negated, rest) = match text {
            [b'!', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let value = match rest {
            [b'#', rest @ ..] => number_or_range(rest),
            _ => Some(Value::Token(rest)).filter(|_| is_plain(rest)),
        };
        match value {
            Some(value) => Ok(TagValue { is_negated, value }),
            None => Err(Cursor::new(text).error("a token or a number")),
        }
    }
}

/// A feature parameter: a tag, and which values of it.
#[derive(Copy, Clone, Debug)]
pub struct Feature<'b> {
    /// Which feature.
    pub tag: FeatureTag<'b>,
    values: &'b [u8],
}

impl<'b> Feature<'b> {
    /// The feature that a parameter of this name and value says something about; `None` if it is no
    /// feature parameter. A parameter without a value says `TRUE` (RFC 3841 8).
    pub fn of_param(name: &'b [u8], value: Option<&'b [u8]>) -> Option<Feature<'b>> {
        let tag = FeatureTag::of_param(name)?;
        Some(Feature { tag, values: value.unwrap_or(b"TRUE") })
    }

    /// All feature parameters among parameters, in order.
    pub fn all(params: Params<'b>) -> impl Iterator<Item = Feature<'b>> {
        params.iter().filter_map(|(name, value)| Feature::of_param(name, value))
    }

    /// Its values, of which any one will do.
    pub fn values(&self) -> impl Iterator<Item = Result<TagValue<'b>, FieldError>> + use<'b> {
        let text = trim(self.values);
        let string = text.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">"));
        let string =
            string.map(|string| Ok(TagValue { is_negated: false, value: Value::Text(string) }));
        let list = string.is_none().then(|| text.split(|&byte| byte == b','));
        string.into_iter().chain(list.into_iter().flatten().map(|text| TagValue::parse(trim(text))))
    }

    /// Whether there is a value that both admit: RFC 2533's matching of two filters of one tag. Values
    /// that can't be read admit nothing.
    pub fn meets(&self, other: &Feature<'_>) -> bool {
        self.values().flatten().any(|own| other.values().flatten().any(|other| own.meets(&other)))
    }
}

/// Wider than RFC 3840's `token-nobang`: media types have a slash, and URNs are met without escapes.
fn is_plain(text: &[u8]) -> bool {
    !text.is_empty() && !text.iter().any(|&byte| is_space(byte) || b"<>\"!#".contains(&byte))
}

fn number_or_range(text: &[u8]) -> Option<Value<'_>> {
    let (least, most) = match text {
        [b'>', b'=', least @ ..] => (number(least)?, f64::INFINITY),
        [b'<', b'=', most @ ..] => (f64::NEG_INFINITY, number(most)?),
        [b'=', exact @ ..] => (number(exact)?, number(exact)?),
        range => {
            let colon = range.iter().position(|&byte| byte == b':')?;
            (number(&range[..colon])?, number(&range[colon + 1..])?)
        }
    };
    Some(Value::Number { least, most })
}

/// RFC 3840 9 `number`: an ANSI C double.
fn number(text: &[u8]) -> Option<f64> {
    let digits = text.strip_prefix(b"+").or(text.strip_prefix(b"-")).unwrap_or(text);
    let is_number = digits.first().is_some_and(u8::is_ascii_digit)
        && digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let number: f64 = std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()?;
    number.is_finite().then_some(number)
}

fn unescaped(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut bytes = text.iter().copied();
    std::iter::from_fn(move || match bytes.next()? {
        b'\\' => bytes.next(),
        byte => Some(byte),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meets(a: &str, b: &str) -> bool {
        let (a, b) = (Params(a.as_bytes()), Params(b.as_bytes()));
        let (a, b) = (Feature::all(a).next().unwrap(), Feature::all(b).next().unwrap());
        assert!(a.tag.same(&b.tag));
        assert_eq!(a.meets(&b), b.meets(&a));
        a.meets(&b)
    }

    /// RFC 3840 5's example.
    #[test]
    fn a_contacts_features() {
        let params = Params(
            b";mobility=\"fixed\";events=\"!presence,message-summary\";language=\"en,de\"\
              ;description=\"<PC>\";+sip.newparam;+rangeparam=\"#-4:+5.125\";q=0.2;expires=60;lr",
        );
        let values: Vec<Vec<TagValue<'_>>> =
            Feature::all(params).map(|feature| feature.values().flatten().collect()).collect();
        let is = |value| TagValue { is_negated: false, value };
        assert_eq!(
            values,
            [
                vec![is(Value::Token(b"fixed"))],
                vec![
                    TagValue { is_negated: true, value: Value::Token(b"presence") },
                    is(Value::Token(b"message-summary"))
                ],
                vec![is(Value::Token(b"en")), is(Value::Token(b"de"))],
                vec![is(Value::Text(b"PC"))],
                vec![is(Value::Token(b"TRUE"))],
                vec![is(Value::Number { least: -4.0, most: 5.125 })],
            ]
        );
    }

    #[test]
    fn tags() {
        let tag = |name: &'static str| FeatureTag::of_param(name.as_bytes());
        assert!(tag("audio").unwrap().same(&tag("+SIP.Audio").unwrap()));
        assert!(!tag("audio").unwrap().same(&tag("+audio").unwrap()));
        assert!(!tag("language").unwrap().same(&tag("+sip.language").unwrap()));
        assert!(tag("language").unwrap().same(&tag("+language").unwrap()));
        for other in ["q", "expires", "require", "pub-gruu", ""] {
            assert!(tag(other).is_none(), "{other}");
        }
    }

    #[test]
    fn values_that_meet() {
        for (a, b) in [
            (";audio", ";audio=\"true\""),
            (";methods=\"INVITE,BYE\"", ";methods=\"bye\""),
            (";events=\"!presence\"", ";events=\"reg\""),
            (";events=\"!presence\"", ";events=\"!reg\""),
            (";+sip.x=\"<A\\b>\"", ";+sip.x=\"<Ab>\""),
            (";+x=\"#>=4\"", ";+x=\"#<=4\""),
            (";+x=\"#-4:+5.125\"", ";+x=\"#=5.\""),
            (";+x=\"!#>=4\"", ";+x=\"#3:9\""),
            (";+x=\"!#>=4\"", ";+x=\"high\""),
        ] {
            assert!(meets(a, b), "{a} {b}");
        }
        for (a, b) in [
            (";audio", ";audio=\"FALSE\""),
            (";audio", ";audio=\"!TRUE\""),
            (";methods=\"INVITE,BYE\"", ";methods=\"MESSAGE\""),
            (";+sip.x=\"<AB>\"", ";+sip.x=\"<ab>\""),
            (";+sip.x=\"<ab>\"", ";+sip.x=\"ab\""),
            (";+x=\"#>=4\"", ";+x=\"#<=3.9\""),
            (";+x=\"#=4\"", ";+x=\"4\""),
            (";+x=\"!#>=4\"", ";+x=\"#5:9\""),
            (";+x=\"#9:5\"", ";+x=\"#>=0\""),
        ] {
            assert!(!meets(a, b), "{a} {b}");
        }
    }

    #[test]
    fn what_is_refused() {
        for bad in
            ["", "!", "a,", "#", "#4", "#=", "#=x", "#>4", "#=.5", "#=1.2.3", "#1:", "a b", "!!a"]
        {
            let feature = Feature::of_param(b"class", Some(bad.as_bytes())).unwrap();
            assert!(feature.values().any(|value| value.is_err()), "{bad}");
        }
        let huge = format!("#={}", "9".repeat(400));
        let feature = Feature::of_param(b"+x", Some(huge.as_bytes())).unwrap();
        assert!(feature.values().any(|value| value.is_err()));
    }
}
