//! Header names: the one table. A name's id, spelling, compact form and form come from its row.

use crate::scan::folded;
use crate::span::Span;

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
    #[inline]
    pub fn lookup(name: &[u8]) -> HeaderName {
        // The one byte that folding by a bit would take for another: CR for the hyphen.
        if name.contains(&b'\r') { HeaderName::Extension } else { HeaderName::of_token(name) }
    }

    /// As [`lookup`](Self::lookup), of a name that is known to have no CR in it.
    #[inline]
    pub(crate) fn of_token(name: &[u8]) -> HeaderName {
        if let [letter] = name {
            return match letter.to_ascii_lowercase() {
                letter @ b'a'..=b'z' => {
                    NAME_OF_ID[usize::from(COMPACT[usize::from(letter - b'a')])]
                }
                _ => HeaderName::Extension,
            };
        }
        if name.is_empty() || name.len() > LONGEST {
            return HeaderName::Extension;
        }
        let mut slot = slot_of(name);
        loop {
            let id = usize::from(SLOTS[slot]);
            if id == NAMES - 1 {
                return HeaderName::Extension;
            }
            if same_folded(name, &FOLDED[id]) {
                return NAME_OF_ID[id];
            }
            slot = (slot + 1) % SLOT_COUNT;
        }
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

const SLOT_COUNT: usize = 512;

const NAME_OF_ID: [HeaderName; NAMES] = {
    let mut names = [HeaderName::Extension; NAMES];
    let mut id = 0;
    while id < HeaderName::ALL.len() {
        assert!(HeaderName::ALL[id] as usize == id);
        names[id] = HeaderName::ALL[id];
        id += 1;
    }
    names
};

/// The id of each compact form; that of `Extension` for letters that mean nothing.
const COMPACT: [u8; 26] = {
    let mut ids = [(NAMES - 1) as u8; 26];
    let mut id = 0;
    while id < NAMES {
        let letter = ROWS[id].compact;
        if letter != 0 {
            assert!(ids[(letter - b'a') as usize] as usize == NAMES - 1, "one name a letter");
            ids[(letter - b'a') as usize] = id as u8;
        }
        id += 1;
    }
    ids
};

const LONGEST: usize = {
    let (mut longest, mut id) = (0, 0);
    while id < NAMES {
        if ROWS[id].text.len() > longest {
            longest = ROWS[id].text.len();
        }
        id += 1;
    }
    longest
};

/// An open hash table of ids, a quarter full: nearly every look-up is one comparison.
static SLOTS: [u8; SLOT_COUNT] = {
    assert!(NAMES < 255 && NAMES * 4 < SLOT_COUNT);
    let mut slots = [(NAMES - 1) as u8; SLOT_COUNT];
    let mut id = 0;
    while id < NAMES - 1 {
        let mut slot = slot_of(ROWS[id].text.as_bytes());
        while slots[slot] as usize != NAMES - 1 {
            slot = (slot + 1) % SLOT_COUNT;
        }
        slots[slot] = id as u8;
        id += 1;
    }
    slots
};

/// A name in lower case, padded, and its length; a short one also as one number.
struct Folded {
    text: [u8; 32],
    word: u64,
    len: u8,
}

static FOLDED: [Folded; NAMES] = {
    assert!(LONGEST <= 32);
    let mut rows = [const { Folded { text: [0; 32], word: 0, len: 0 } }; NAMES];
    let mut id = 0;
    while id < NAMES {
        let text = ROWS[id].text.as_bytes();
        let mut at = 0;
        while at < text.len() {
            // The names have letters and hyphens only, which is what makes folding by a bit exact.
            assert!(text[at] == b'-' || text[at].is_ascii_alphabetic());
            rows[id].text[at] = text[at] | 0x20;
            at += 1;
        }
        rows[id].word = folded(text);
        rows[id].len = text.len() as u8;
        id += 1;
    }
    rows
};

/// Whether `name` without regard to case is `row`: eight bytes at a time, the last eight again.
#[inline]
fn same_folded(name: &[u8], row: &Folded) -> bool {
    const CASE: u64 = 0x2020_2020_2020_2020;
    if name.len() <= 8 {
        return folded(name) == row.word;
    }
    let Some(row) = row.text.get(..usize::from(row.len)) else { return false };
    let (Some((_, name_end)), Some((_, row_end))) =
        (name.split_last_chunk::<8>(), row.split_last_chunk::<8>())
    else {
        return false;
    };
    let same = |name: &[u8; 8], row: &[u8; 8]| {
        u64::from_ne_bytes(*name) | CASE == u64::from_ne_bytes(*row)
    };
    let (names, _) = name.as_chunks::<8>();
    let (rows, _) = row.as_chunks::<8>();
    name.len() == row.len()
        && same(name_end, row_end)
        && names.iter().zip(rows).all(|(name, row)| same(name, row))
}

/// Where the search for a name starts: its length, first, middle and last byte tell most apart.
#[inline]
const fn slot_of(name: &[u8]) -> usize {
    let first = (name[0] | 0x20) as usize;
    let middle = (name[name.len() / 2] | 0x20) as usize;
    let last = (name[name.len() - 1] | 0x20) as usize;
    (name.len() * 71 + first * 5 + middle * 23 + last * 113) % SLOT_COUNT
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

    #[test]
    fn look_ups_seldom_collide() {
        let displaced = HeaderName::ALL
            .iter()
            .filter(|&&name| SLOTS[slot_of(name.as_str().as_bytes())] != name as u8)
            .count();
        assert!(displaced <= 12, "{displaced} names are not at their slot");
    }
}
