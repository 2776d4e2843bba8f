//! Header names: the one table. A name's id, spelling, compact form and form come from its row.

use crate::span::Span;
use wide::u8x16;

/// How often a header may occur and how its value is built.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Form {
    /// A comma-separated list that may be spread over lines (RFC 3261 7.3.1).
    List,
    /// At most one line a message.
    Once,
    /// One value a line, any number of lines (challenges and credentials: their commas belong to
    /// the value).
    Lines,
}

macro_rules! headers {
    ($($variant:ident $text:literal $compact:literal $form:ident,)*) => {
        /// A header's name.
        #[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each variant is its row's name")]
        pub enum HeaderName {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// Any header that the table doesn't list: see [`Header::name_span`] for its spelling.
            Extension,
        }

        const ROWS: &[Row] = &[
            $(Row {
                text: $text,
                lead: concat!($text, ": "),
                compact: $compact,
                form: Form::$form,
            },)*
            Row { text: "Extension", lead: "Extension: ", compact: 0, form: Form::Lines },
        ];

        impl HeaderName {
            /// Every header of the table, `Extension` not among them.
            pub const ALL: &'static [HeaderName] = &[$(HeaderName::$variant),*];
        }
    };
}

struct Row {
    text: &'static str,
    /// With the colon and the space before a value.
    lead: &'static str,
    compact: u8,
    form: Form,
}

headers! {
    Accept "Accept" 0 List,
    AcceptContact "Accept-Contact" b'a' List,
    AcceptEncoding "Accept-Encoding" 0 List,
    AcceptLanguage "Accept-Language" 0 List,
    AcceptResourcePriority "Accept-Resource-Priority" 0 List,
    AlertInfo "Alert-Info" 0 List,
    Allow "Allow" 0 List,
    AllowEvents "Allow-Events" b'u' List,
    AuthenticationInfo "Authentication-Info" 0 Lines,
    Authorization "Authorization" 0 Lines,
    CallId "Call-ID" b'i' Once,
    CallInfo "Call-Info" 0 List,
    Contact "Contact" b'm' List,
    ContentDisposition "Content-Disposition" 0 Once,
    ContentEncoding "Content-Encoding" b'e' List,
    ContentLanguage "Content-Language" 0 List,
    ContentLength "Content-Length" b'l' Once,
    ContentType "Content-Type" b'c' Once,
    CSeq "CSeq" 0 Once,
    Date "Date" 0 Once,
    ErrorInfo "Error-Info" 0 List,
    Event "Event" b'o' Once,
    Expires "Expires" 0 Once,
    FeatureCaps "Feature-Caps" 0 List,
    FlowTimer "Flow-Timer" 0 Once,
    From "From" b'f' Once,
    Geolocation "Geolocation" 0 List,
    GeolocationError "Geolocation-Error" 0 Once,
    GeolocationRouting "Geolocation-Routing" 0 Once,
    HistoryInfo "History-Info" 0 List,
    Identity "Identity" b'y' List,
    IdentityInfo "Identity-Info" b'n' Once,
    InReplyTo "In-Reply-To" 0 List,
    InfoPackage "Info-Package" 0 Once,
    Join "Join" 0 Once,
    MaxBreadth "Max-Breadth" 0 Once,
    MaxForwards "Max-Forwards" 0 Once,
    MimeVersion "MIME-Version" 0 Once,
    MinExpires "Min-Expires" 0 Once,
    MinSe "Min-SE" 0 Once,
    Organization "Organization" 0 Once,
    PAccessNetworkInfo "P-Access-Network-Info" 0 List,
    PAssertedIdentity "P-Asserted-Identity" 0 List,
    PAssertedService "P-Asserted-Service" 0 List,
    PAssociatedUri "P-Associated-URI" 0 List,
    PCalledPartyId "P-Called-Party-ID" 0 Once,
    PChargingFunctionAddresses "P-Charging-Function-Addresses" 0 List,
    PChargingVector "P-Charging-Vector" 0 Once,
    PEarlyMedia "P-Early-Media" 0 List,
    PMediaAuthorization "P-Media-Authorization" 0 List,
    PPreferredIdentity "P-Preferred-Identity" 0 List,
    PPreferredService "P-Preferred-Service" 0 List,
    PPrivateNetworkIndication "P-Private-Network-Indication" 0 Once,
    PProfileKey "P-Profile-Key" 0 Once,
    PServedUser "P-Served-User" 0 Once,
    PUserDatabase "P-User-Database" 0 Once,
    PVisitedNetworkId "P-Visited-Network-ID" 0 List,
    Path "Path" 0 List,
    PermissionMissing "Permission-Missing" 0 List,
    Priority "Priority" 0 Once,
    Privacy "Privacy" 0 Once,
    ProxyAuthenticate "Proxy-Authenticate" 0 Lines,
    ProxyAuthorization "Proxy-Authorization" 0 Lines,
    ProxyRequire "Proxy-Require" 0 List,
    RAck "RAck" 0 Once,
    Reason "Reason" 0 List,
    RecordRoute "Record-Route" 0 List,
    RecvInfo "Recv-Info" 0 List,
    ReferTo "Refer-To" b'r' Once,
    ReferredBy "Referred-By" b'b' Once,
    RejectContact "Reject-Contact" b'j' List,
    // RFC 3891 allows one, but a second one must be seen and answered 400 by its reader.
    Replaces "Replaces" 0 Lines,
    ReplyTo "Reply-To" 0 Once,
    RequestDisposition "Request-Disposition" b'd' List,
    Require "Require" 0 List,
    ResourcePriority "Resource-Priority" 0 List,
    RetryAfter "Retry-After" 0 Once,
    Route "Route" 0 List,
    RSeq "RSeq" 0 Once,
    SecurityClient "Security-Client" 0 List,
    SecurityServer "Security-Server" 0 List,
    SecurityVerify "Security-Verify" 0 List,
    Server "Server" 0 Once,
    ServiceRoute "Service-Route" 0 List,
    SessionExpires "Session-Expires" b'x' Once,
    SessionId "Session-ID" 0 Once,
    SipEtag "SIP-ETag" 0 Once,
    SipIfMatch "SIP-If-Match" 0 Once,
    Subject "Subject" b's' Once,
    SubscriptionState "Subscription-State" 0 Once,
    Supported "Supported" b'k' List,
    SuppressIfMatch "Suppress-If-Match" 0 Once,
    TargetDialog "Target-Dialog" 0 Once,
    Timestamp "Timestamp" 0 Once,
    To "To" b't' Once,
    Unsupported "Unsupported" 0 List,
    UserAgent "User-Agent" 0 Once,
    Via "Via" b'v' List,
    Warning "Warning" 0 List,
    WwwAuthenticate "WWW-Authenticate" 0 Lines,
}

/// How many names there are, `Extension` included.
pub(crate) const NAMES: usize = ROWS.len();

/// One header line (or lines, if it is folded) of a parsed message.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Which header it is.
    pub name: HeaderName,
    /// The name as it was spelled.
    pub name_span: Span,
    /// The value without white space around it; it may contain folds (CRLF and white space).
    pub value: Span,
    /// The whole line or lines, with the CRLF at the end.
    pub line: Span,
}

impl HeaderName {
    /// The header that `name` names, by its long or its compact form, in any case.
    pub fn lookup(name: &[u8]) -> HeaderName {
        let mut line = [b':'; ROW_BYTES];
        match line.get_mut(..name.len()) {
            // The one byte that folding by a bit would take for another: CR for the hyphen.
            Some(start) if name.len() < ROW_BYTES && !name.contains(&b'\r') => {
                start.copy_from_slice(name);
            }
            _ => return HeaderName::Extension,
        }
        match HeaderName::leading(&line) {
            Some((found, len)) if len == name.len() => found,
            _ => HeaderName::Extension,
        }
    }

    /// The header of the table whose name `line` starts with, up to its first colon, and the name's length. At the end of a message not
    /// all are found, for want of bytes to compare. There must be no CR before that colon.
    #[inline(always)]
    pub(crate) fn leading(line: &[u8]) -> Option<(HeaderName, usize)> {
        let start = line.first_chunk()?;
        let colons = equal(start, &COLONS, 0);
        if colons == 0 {
            return HeaderName::leading_long(start, line);
        }
        let len = colons.trailing_zeros() as usize;
        if len < 2 {
            return compact(start[0]).filter(|_| len == 1).map(|name| (name, 1));
        }
        let found = SLOTS
            [slot_of(start, start[len / 2 % VECTOR_BYTES], start[(len - 1) % VECTOR_BYTES], len)];
        let same = equal(start, &FOLDED[found as usize][0], CASE);
        (same.trailing_ones() as usize > len).then_some((found, len))
    }

    /// As [`leading`](Self::leading), where the first vector has no colon.
    #[inline(always)]
    fn leading_long(start: &[u8; VECTOR_BYTES], line: &[u8]) -> Option<(HeaderName, usize)> {
        let line: &[u8; ROW_BYTES] = line.first_chunk()?;
        let (_, more) = line.split_last_chunk()?;
        let colons = equal(more, &COLONS, 0);
        // More than any name has where there is no colon.
        let len = VECTOR_BYTES + colons.trailing_zeros() as usize;
        let found =
            SLOTS[slot_of(start, line[len / 2 % ROW_BYTES], line[(len - 1) % ROW_BYTES], len)];
        let [row, row_more] = &FOLDED[found as usize];
        let same = equal(start, row, CASE) | equal(more, row_more, CASE) << VECTOR_BYTES;
        (same.trailing_ones() as usize > len).then_some((found, len))
    }

    /// Its canonical long form.
    #[inline]
    pub const fn as_str(self) -> &'static str {
        ROWS[self as usize].text
    }

    /// Its canonical long form, a colon and a space: how a line starts.
    #[inline]
    pub(crate) const fn lead(self) -> &'static str {
        ROWS[self as usize].lead
    }

    /// Its compact form, a lower-case letter (RFC 3261 7.3.3).
    #[inline]
    pub const fn compact(self) -> Option<u8> {
        match ROWS[self as usize].compact {
            0 => None,
            letter => Some(letter),
        }
    }

    /// How often it may occur and how its value is built.
    #[inline]
    pub const fn form(self) -> Form {
        ROWS[self as usize].form
    }

    /// Whether its value is a comma-separated list.
    #[inline]
    pub const fn is_list(self) -> bool {
        matches!(self.form(), Form::List)
    }
}

const VECTOR_BYTES: usize = 16;
/// More than any name has: it and its colon are compared as two vectors.
const ROW_BYTES: usize = 2 * VECTOR_BYTES;
const COLONS: [u8; VECTOR_BYTES] = [b':'; VECTOR_BYTES];
/// What letters of either case differ in.
const CASE: u8 = 0x20;
const SLOT_COUNT: usize = 512;

/// The header of each compact form; `Extension` for letters that mean nothing.
static COMPACT: [HeaderName; 26] = {
    let mut names = [HeaderName::Extension; 26];
    let mut id = 0;
    while id < HeaderName::ALL.len() {
        let letter = ROWS[id].compact;
        if letter != 0 {
            let name = &mut names[(letter - b'a') as usize];
            assert!(*name as usize == HeaderName::Extension as usize, "one name a letter");
            *name = HeaderName::ALL[id];
        }
        id += 1;
    }
    names
};

/// The header at each slot, `Extension` where there is none. No two have the same slot, so that a look-up is one comparison.
static SLOTS: [HeaderName; SLOT_COUNT] = {
    let mut slots = [HeaderName::Extension; SLOT_COUNT];
    let mut id = 0;
    while id < HeaderName::ALL.len() {
        assert!(HeaderName::ALL[id] as usize == id);
        let text = ROWS[id].text.as_bytes();
        let slot = slot_of(&FOLDED[id][0], text[text.len() / 2], text[text.len() - 1], text.len());
        assert!(
            slots[slot] as usize == HeaderName::Extension as usize,
            "`slot_of` needs other factors"
        );
        slots[slot] = HeaderName::ALL[id];
        id += 1;
    }
    slots
};

/// Each name in lower case with its colon, padded; nothing for `Extension`.
static FOLDED: [[[u8; VECTOR_BYTES]; 2]; NAMES] = {
    let mut rows = [[[0; VECTOR_BYTES]; 2]; NAMES];
    let mut id = 0;
    while id < HeaderName::ALL.len() {
        let text = ROWS[id].text.as_bytes();
        assert!(text.len() > 1 && text.len() < ROW_BYTES);
        let mut at = 0;
        while at < text.len() {
            // The names have letters and hyphens only, which is what makes folding by a bit exact.
            assert!(text[at] == b'-' || text[at].is_ascii_alphabetic());
            rows[id][at / VECTOR_BYTES][at % VECTOR_BYTES] = text[at] | CASE;
            at += 1;
        }
        rows[id][at / VECTOR_BYTES][at % VECTOR_BYTES] = b':';
        id += 1;
    }
    rows
};

/// The header that a compact form means, in any case.
#[inline]
fn compact(letter: u8) -> Option<HeaderName> {
    let place = (letter | CASE).wrapping_sub(b'a');
    let found = COMPACT.get(usize::from(place)).copied();
    found.filter(|name| *name != HeaderName::Extension)
}

/// A bit for each byte of `text` that is the same in `row`, once the bits of `fold` are set.
#[inline(always)]
fn equal(text: &[u8; VECTOR_BYTES], row: &[u8; VECTOR_BYTES], fold: u8) -> u32 {
    (u8x16::new(*text) | u8x16::splat(fold)).simd_eq(u8x16::new(*row)).to_bitmask()
}

/// The slot of a name: its length, its first two bytes, the middle and the last one tell all names apart.
#[inline(always)]
const fn slot_of(start: &[u8; VECTOR_BYTES], middle: u8, last: u8, len: usize) -> usize {
    let first = u16::from_le_bytes([start[0], start[1]]) | u16::from_le_bytes([CASE, CASE]);
    let (middle, last) = ((middle | CASE) as usize, (last | CASE) as usize);
    (len * 133 + first as usize * 189 + middle * 4 + last * 39) % SLOT_COUNT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_leads_to_its_row() {
        for &name in HeaderName::ALL {
            let text = name.as_str();
            assert_eq!(HeaderName::lookup(text.as_bytes()), name);
            assert_eq!(HeaderName::lookup(text.to_ascii_uppercase().as_bytes()), name);
            assert_eq!(HeaderName::lookup(text.to_ascii_lowercase().as_bytes()), name);
            if let Some(letter) = name.compact() {
                assert_eq!(HeaderName::lookup(&[letter]), name);
                assert_eq!(HeaderName::lookup(&[letter.to_ascii_uppercase()]), name);
            }
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_an_extension() {
        for text in
            ["", "w", "z", "1", "Vias", "Vi", "Extension", "X-Custom", "Via ", "\u{e9}", "Call\rID"]
        {
            assert_eq!(HeaderName::lookup(text.as_bytes()), HeaderName::Extension, "{text}");
        }
        // One byte off in any place.
        for &name in HeaderName::ALL {
            for at in 0..name.as_str().len() {
                let mut text = name.as_str().as_bytes().to_vec();
                text[at] = if text[at] == b'-' { b'\r' } else { text[at] ^ 0x80 };
                assert_eq!(HeaderName::lookup(&text), HeaderName::Extension);
            }
        }
        assert_eq!(HeaderName::lookup(&[b'x'; 300]), HeaderName::Extension);
    }

    #[test]
    fn rfc_3261_compact_forms() {
        let forms = [
            ('i', HeaderName::CallId),
            ('m', HeaderName::Contact),
            ('e', HeaderName::ContentEncoding),
            ('l', HeaderName::ContentLength),
            ('c', HeaderName::ContentType),
            ('f', HeaderName::From),
            ('s', HeaderName::Subject),
            ('k', HeaderName::Supported),
            ('t', HeaderName::To),
            ('v', HeaderName::Via),
            ('o', HeaderName::Event),
            ('u', HeaderName::AllowEvents),
            ('r', HeaderName::ReferTo),
            ('b', HeaderName::ReferredBy),
            ('x', HeaderName::SessionExpires),
        ];
        for (letter, name) in forms {
            assert_eq!(HeaderName::lookup(&[letter as u8]), name);
        }
    }
}
