//! A parsed message: start line, headers, body, and typed views of the headers on demand.

use crate::error::{CheckError, FieldError, name_header};
use crate::field::auth::{Challenge, Credentials};
use crate::field::contact_preference::ContactPreference;
use crate::field::cseq::{self, CSeq};
use crate::field::event::Event;
use crate::field::name_addr::NameAddr;
use crate::field::rack::RAck;
use crate::field::replaces::Replaces;
use crate::field::security::SecurityMechanism;
use crate::field::session_expires::{self, SessionExpires};
use crate::field::subscription_state::SubscriptionState;
use crate::field::via::Via;
use crate::header::{Form, Header, HeaderName};
use crate::method::Method;
use crate::params;
use crate::parse::{Index, KnownTag, StartLine};
use crate::scan::{Cursor, decimal, decimal_u32, find_outside, is_space, trim};
use crate::span::Span;
use crate::uri::{Scheme, Uri};
use std::cell::Cell;

/// A message: its bytes and their index. Copying it copies two pointers.
#[derive(Copy, Clone, Debug)]
pub struct Message<'b> {
    bytes: &'b [u8],
    index: &'b Index,
}

impl<'b> Message<'b> {
    pub(crate) fn new(bytes: &'b [u8], index: &'b Index) -> Message<'b> {
        Message { bytes, index }
    }

    /// The message from its start line to the end of its body: what all spans refer to.
    pub fn bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        self.index.start.status == 0
    }

    /// A request's method; for a response that of its CSeq (`Other` if that can't be read).
    pub fn method(&self) -> Method {
        if self.is_request() {
            self.index.start.method
        } else {
            self.cseq().map_or(Method::Other, |cseq| cseq.method)
        }
    }

    /// The method as spelled; for a response that of its CSeq (empty if that can't be read).
    pub fn method_text(&self) -> &'b [u8] {
        if self.is_request() {
            return self.index.start.method_text.of(self.bytes);
        }
        let cseq = self.header(HeaderName::CSeq).unwrap_or_default();
        cseq::parts(cseq).map_or(b"", |(_, method)| method)
    }

    /// The Request-URI; empty for a response.
    pub fn request_uri(&self) -> &'b [u8] {
        if self.is_request() { self.index.start.text.of(self.bytes) } else { b"" }
    }

    /// The status code, 100 to 699; 0 for a request.
    pub fn status(&self) -> u16 {
        self.index.start.status
    }

    /// The reason phrase; empty for a request.
    pub fn reason(&self) -> &'b [u8] {
        if self.is_request() { b"" } else { self.index.start.text.of(self.bytes) }
    }

    /// The body; empty if there is none.
    pub fn body(&self) -> &'b [u8] {
        self.index.body.of(self.bytes)
    }

    /// The header lines in order.
    pub fn headers(&self) -> &'b [Header] {
        &self.index.headers[..usize::from(self.index.count)]
    }

    /// The value of the first line of that name, without white space around it.
    pub fn header(&self, name: HeaderName) -> Option<&'b [u8]> {
        let line = self.index.first_line(name)?;
        Some(self.index.headers[line].value.of(self.bytes))
    }

    /// All lines of that name: their number among [`headers`](Self::headers), and their value.
    pub fn lines(&self, name: HeaderName) -> Lines<'b> {
        let (next, end) = self.index.line_range(name);
        Lines { message: *self, name, next, end }
    }

    /// The elements of a comma-separated header over all its lines, trimmed. An empty line has no
    /// element; an element between two commas is empty.
    pub fn list(&self, name: HeaderName) -> List<'b> {
        List { lines: self.lines(name), rest: None }
    }

    /// Whether the list `name` (Require, Supported …) has that option tag, in any case.
    pub fn has_option(&self, name: HeaderName, option: &str) -> bool {
        self.list(name).any(|found| found.eq_ignore_ascii_case(option.as_bytes()))
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// If there is none, or it can't be read.
    pub fn via(&self) -> Result<Via<'b>, FieldError> {
        let mut found = Err(FieldError::absent(HeaderName::Via, "a Via"));
        if let Some(value) = self.list(HeaderName::Via).rest() {
            found = Via::element(value, &mut 0);
            if found.is_err()
                && let Some(via) = self.vias().next()
            {
                found = via;
            }
        }
        found
    }

    /// All Vias, topmost first.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'b>, FieldError>> + use<'b> {
        Elements { list: self.list(HeaderName::Via), element: Via::element }
    }

    /// From.
    ///
    /// # Errors
    /// If there is none, or it can't be read.
    pub fn from(&self) -> Result<NameAddr<'b>, FieldError> {
        self.name_addr(HeaderName::From)
    }

    /// To.
    ///
    /// # Errors
    /// If there is none, or it can't be read.
    pub fn to(&self) -> Result<NameAddr<'b>, FieldError> {
        self.name_addr(HeaderName::To)
    }

    /// The first Contact that is an address; `None` if there is none or it is `*`.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn contact(&self) -> Result<Option<NameAddr<'b>>, FieldError> {
        if self.is_contact_star() { Ok(None) } else { self.contacts().next().transpose() }
    }

    /// All Contacts; `*` is an error here.
    pub fn contacts(&self) -> impl Iterator<Item = Result<NameAddr<'b>, FieldError>> + use<'b> {
        self.name_addrs(HeaderName::Contact)
    }

    /// Whether the Contact is `*` (RFC 3261 10.2.2).
    pub fn is_contact_star(&self) -> bool {
        self.header(HeaderName::Contact) == Some(b"*")
    }

    /// All Routes, first hop first.
    pub fn routes(&self) -> impl Iterator<Item = Result<NameAddr<'b>, FieldError>> + use<'b> {
        self.name_addrs(HeaderName::Route)
    }

    /// All Record-Routes, in the order of the message.
    pub fn record_routes(
        &self,
    ) -> impl Iterator<Item = Result<NameAddr<'b>, FieldError>> + use<'b> {
        self.name_addrs(HeaderName::RecordRoute)
    }

    /// All Paths, in the order of the message.
    pub fn paths(&self) -> impl Iterator<Item = Result<NameAddr<'b>, FieldError>> + use<'b> {
        self.name_addrs(HeaderName::Path)
    }

    /// All Service-Routes, in the order of the message.
    pub fn service_routes(
        &self,
    ) -> impl Iterator<Item = Result<NameAddr<'b>, FieldError>> + use<'b> {
        self.name_addrs(HeaderName::ServiceRoute)
    }

    /// All P-Asserted-Identities (RFC 3325 9.1: at most a SIP and a tel URI).
    pub fn asserted_identity(
        &self,
    ) -> impl Iterator<Item = Result<NameAddr<'b>, FieldError>> + use<'b> {
        self.name_addrs(HeaderName::PAssertedIdentity)
    }

    /// All P-Preferred-Identities.
    pub fn preferred_identity(
        &self,
    ) -> impl Iterator<Item = Result<NameAddr<'b>, FieldError>> + use<'b> {
        self.name_addrs(HeaderName::PPreferredIdentity)
    }

    /// All P-Associated-URIs, the default identity first.
    pub fn associated_uris(
        &self,
    ) -> impl Iterator<Item = Result<NameAddr<'b>, FieldError>> + use<'b> {
        self.name_addrs(HeaderName::PAssociatedUri)
    }

    /// All elements of a header that lists addresses.
    pub fn name_addrs(
        &self,
        name: HeaderName,
    ) -> impl Iterator<Item = Result<NameAddr<'b>, FieldError>> + use<'b> {
        Elements { list: self.list(name), element: NameAddr::element }
    }

    /// CSeq.
    ///
    /// # Errors
    /// If there is none, or it can't be read.
    pub fn cseq(&self) -> Result<CSeq, FieldError> {
        match self.header(HeaderName::CSeq) {
            Some(value) => CSeq::parse(value).map_err(|error| error.in_header(HeaderName::CSeq)),
            None => Err(FieldError::absent(HeaderName::CSeq, "a CSeq")),
        }
    }

    /// Call-ID.
    ///
    /// # Errors
    /// If there is none, it is empty, or there is white space in it.
    pub fn call_id(&self) -> Result<&'b [u8], FieldError> {
        let value = self.header(HeaderName::CallId).unwrap_or_default();
        if value.is_empty() || value.iter().any(|&byte| is_space(byte)) {
            return Err(FieldError::absent(HeaderName::CallId, "a Call-ID without white space"));
        }
        Ok(value)
    }

    /// Max-Forwards, 0 to 255.
    ///
    /// # Errors
    /// If it is no number in that range.
    pub fn max_forwards(&self) -> Result<Option<u32>, FieldError> {
        match self.seconds(HeaderName::MaxForwards)? {
            Some(hops) if hops > 255 => {
                Err(FieldError::absent(HeaderName::MaxForwards, "a number up to 255"))
            }
            hops => Ok(hops),
        }
    }

    /// Expires in seconds; `u32::MAX` where it is larger.
    ///
    /// # Errors
    /// If it is no decimal number.
    pub fn expires(&self) -> Result<Option<u32>, FieldError> {
        self.seconds(HeaderName::Expires)
    }

    /// Min-Expires in seconds; `u32::MAX` where it is larger.
    ///
    /// # Errors
    /// If it is no decimal number.
    pub fn min_expires(&self) -> Result<Option<u32>, FieldError> {
        self.seconds(HeaderName::MinExpires)
    }

    /// Retry-After in seconds, its comment and parameters left out; `u32::MAX` where it is larger.
    ///
    /// # Errors
    /// If it doesn't start with a decimal number.
    pub fn retry_after(&self) -> Result<Option<u32>, FieldError> {
        let Some(value) = self.header(HeaderName::RetryAfter) else { return Ok(None) };
        let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
        seconds(HeaderName::RetryAfter, &value[..digits]).map(Some)
    }

    /// Event.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn event(&self) -> Result<Option<Event<'b>>, FieldError> {
        self.optional(HeaderName::Event, Event::parse)
    }

    /// Subscription-State.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn subscription_state(&self) -> Result<Option<SubscriptionState<'b>>, FieldError> {
        self.optional(HeaderName::SubscriptionState, SubscriptionState::parse)
    }

    /// The first Authorization of scheme Digest; those of other schemes are passed over.
    ///
    /// # Errors
    /// If one before it can't be read.
    pub fn authorization(&self) -> Result<Option<Credentials<'b>>, FieldError> {
        self.first_of(HeaderName::Authorization, Credentials::parse)
    }

    /// The username of the first Authorization of scheme Digest, empty if that has none: for those who need no more of it. What lies
    /// behind it is not read, and may be wrong.
    ///
    /// # Errors
    /// If what lies before it can't be read.
    pub fn username(&self) -> Result<Option<&'b [u8]>, FieldError> {
        self.first_of(HeaderName::Authorization, Credentials::username_of)
    }

    /// The first WWW-Authenticate of scheme Digest; those of other schemes are passed over.
    ///
    /// # Errors
    /// If one before it can't be read.
    pub fn www_authenticate(&self) -> Result<Option<Challenge<'b>>, FieldError> {
        self.first_of(HeaderName::WwwAuthenticate, Challenge::parse)
    }

    /// The mechanisms of Security-Client, Security-Server or Security-Verify, in order.
    pub fn security(
        &self,
        name: HeaderName,
    ) -> impl Iterator<Item = Result<SecurityMechanism<'b>, FieldError>> + use<'b> {
        Elements { list: self.list(name), element: SecurityMechanism::element }
    }

    /// The values of Accept-Contact or Reject-Contact, in order.
    pub fn contact_preferences(
        &self,
        name: HeaderName,
    ) -> impl Iterator<Item = Result<ContactPreference<'b>, FieldError>> + use<'b> {
        Elements { list: self.list(name), element: ContactPreference::element }
    }

    /// Session-Expires.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn session_expires(&self) -> Result<Option<SessionExpires<'b>>, FieldError> {
        self.optional(HeaderName::SessionExpires, SessionExpires::parse)
    }

    /// Min-SE in seconds; `u32::MAX` where it is larger.
    ///
    /// # Errors
    /// If it is no decimal number with parameters.
    pub fn min_se(&self) -> Result<Option<u32>, FieldError> {
        let interval = self.optional(HeaderName::MinSe, session_expires::interval)?;
        Ok(interval.map(|(seconds, _)| seconds))
    }

    /// RAck.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn rack(&self) -> Result<Option<RAck>, FieldError> {
        self.optional(HeaderName::RAck, RAck::parse)
    }

    /// RSeq (RFC 3262 7.1).
    ///
    /// # Errors
    /// If it is no decimal number up to 2^32-1.
    pub fn rseq(&self) -> Result<Option<u32>, FieldError> {
        let read = |value: &'b [u8]| {
            decimal_u32(value).ok_or(Cursor::new(value).error("a response number up to 4294967295"))
        };
        self.optional(HeaderName::RSeq, read)
    }

    /// Replaces.
    ///
    /// # Errors
    /// If it can't be read, or there is a second one (RFC 3891 3: to be answered 400).
    pub fn replaces(&self) -> Result<Option<Replaces<'b>>, FieldError> {
        if self.lines(HeaderName::Replaces).nth(1).is_some() {
            return Err(FieldError::absent(HeaderName::Replaces, "one Replaces only"));
        }
        self.optional(HeaderName::Replaces, Replaces::parse)
    }

    /// Whether the message has what RFC 3261 8.1.1 demands and no element may do without: Via, From
    /// with a tag, To, Call-ID, CSeq with the request's method, each readable; a readable
    /// Request-URI without headers; no header twice, with different values, that may be there once.
    ///
    /// # Errors
    /// The status code and the reason to answer a request with; a response is dropped.
    pub fn check(&self) -> Result<(), CheckError> {
        self.checked_via().map(|_| ())
    }

    /// As [`check`](Self::check), and gives the topmost Via, which had to be read for it.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn checked_via(&self) -> Result<Via<'b>, CheckError> {
        let version = self.index.start.version.of(self.bytes);
        if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            let reason = "Version Not Supported";
            return Err(CheckError { status: 505, reason, header: None });
        }
        let via = self.via().map_err(|_| bad(HeaderName::Via, "Bad Via"))?;
        if via.branch.is_some_and(|branch| branch.eq_ignore_ascii_case(b"z9hG4bK")) {
            return Err(bad(HeaderName::Via, "Empty Branch"));
        }
        let tag = self.tag(HeaderName::From).map_err(|_| bad(HeaderName::From, "Bad From"))?;
        if tag.is_none_or(<[u8]>::is_empty) {
            return Err(bad(HeaderName::From, "From Without Tag"));
        }
        self.tag(HeaderName::To).map_err(|_| bad(HeaderName::To, "Bad To"))?;
        self.call_id().map_err(|_| bad(HeaderName::CallId, "Bad Call-ID"))?;
        let cseq = self.header(HeaderName::CSeq).unwrap_or_default();
        let (_, method) = cseq::parts(cseq).map_err(|_| bad(HeaderName::CSeq, "Bad CSeq"))?;
        if self.is_request() {
            if method != self.method_text() {
                return Err(bad(HeaderName::CSeq, "CSeq Method Mismatch"));
            }
            self.max_forwards().map_err(|_| bad(HeaderName::MaxForwards, "Bad Max-Forwards"))?;
            self.check_request_uri()?;
        }
        self.contact().map_err(|_| bad(HeaderName::Contact, "Bad Contact"))?;
        self.check_repetitions()?;
        Ok(via)
    }

    pub(crate) fn start_line(&self) -> &'b StartLine {
        &self.index.start
    }

    fn check_request_uri(&self) -> Result<(), CheckError> {
        let refuse = |reason| CheckError { status: 400, reason, header: None };
        let uri = Uri::parse(self.request_uri()).map_err(|_| refuse("Bad Request-URI"))?;
        if matches!(uri.scheme, Scheme::Sip | Scheme::Sips) && !uri.headers.is_empty() {
            return Err(refuse("Headers In Request-URI"));
        }
        Ok(())
    }

    fn check_repetitions(&self) -> Result<(), CheckError> {
        if !self.index.repeats_once {
            return Ok(());
        }
        for (line, header) in self.headers().iter().enumerate() {
            let Some(first) = self.index.first_line(header.name) else { continue };
            if first != line
                && header.name.form() == Form::Once
                && self.headers()[first].value.of(self.bytes) != header.value.of(self.bytes)
            {
                return Err(bad(header.name, "Repeated Header"));
            }
        }
        Ok(())
    }

    fn name_addr(&self, name: HeaderName) -> Result<NameAddr<'b>, FieldError> {
        let mut found = Err(FieldError::absent(name, "an address"));
        if let Some(value) = self.header(name) {
            found = NameAddr::parse(value);
            name_header(&mut found, name);
        }
        found
    }

    /// The tag of From or To, which is checked as a whole: cheaper than taking the address apart for it.
    ///
    /// # Errors
    /// If there is none, or it can't be read.
    pub fn tag(&self, name: HeaderName) -> Result<Option<&'b [u8]>, FieldError> {
        if !matches!(name, HeaderName::From | HeaderName::To) {
            return self.read_tag(name);
        }
        let known = self.index.known_tag(name);
        match known.get() {
            KnownTag::Absent => Ok(None),
            KnownTag::At(span) => Ok(Some(span.of(self.bytes))),
            KnownTag::Unread => {
                let tag = self.read_tag(name)?;
                known.set(
                    tag.map_or(KnownTag::Absent, |tag| {
                        KnownTag::At(Span::of_part(self.bytes, tag))
                    }),
                );
                Ok(tag)
            }
        }
    }

    /// What is known of the tag of From or To without reading it.
    pub(crate) fn known_tag(&self, name: HeaderName) -> &'b Cell<KnownTag> {
        self.index.known_tag(name)
    }

    fn read_tag(&self, name: HeaderName) -> Result<Option<&'b [u8]>, FieldError> {
        match self.header(name) {
            Some(value) => NameAddr::tag_of(value).map_err(|error| error.in_header(name)),
            None => Err(FieldError::absent(name, "an address")),
        }
    }

    fn seconds(&self, name: HeaderName) -> Result<Option<u32>, FieldError> {
        self.header(name).map(|value| seconds(name, value)).transpose()
    }

    fn optional<T>(
        &self,
        name: HeaderName,
        parse: impl Fn(&'b [u8]) -> Result<T, FieldError>,
    ) -> Result<Option<T>, FieldError> {
        self.header(name)
            .map(|value| parse(value).map_err(|error| error.in_header(name)))
            .transpose()
    }

    fn first_of<T>(
        &self,
        name: HeaderName,
        parse: impl Fn(&'b [u8]) -> Result<Option<T>, FieldError>,
    ) -> Result<Option<T>, FieldError> {
        for (_, value) in self.lines(name) {
            if let Some(found) = parse(value).map_err(|error| error.in_header(name))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn bad(header: HeaderName, reason: &'static str) -> CheckError {
    CheckError { status: 400, reason, header: Some(header) }
}

fn seconds(name: HeaderName, text: &[u8]) -> Result<u32, FieldError> {
    match decimal(text) {
        Some(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        None => Err(FieldError::absent(name, "a decimal number")),
    }
}

/// Iterates over the lines of one header: see [`Message::lines`].
#[derive(Clone, Debug)]
pub struct Lines<'b> {
    message: Message<'b>,
    name: HeaderName,
    next: usize,
    end: usize,
}

impl<'b> Iterator for Lines<'b> {
    type Item = (usize, &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let headers = &self.message.index.headers[..self.end];
        while let Some(header) = headers.get(self.next) {
            self.next += 1;
            if header.name == self.name {
                return Some((self.next - 1, header.value.of(self.message.bytes)));
            }
        }
        None
    }
}

/// Iterates over the elements of one header: see [`Message::list`].
#[derive(Clone, Debug)]
pub struct List<'b> {
    lines: Lines<'b>,
    rest: Option<&'b [u8]>,
}

impl<'b> Iterator for List<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest()?;
        let end = find_outside(rest, b',', true);
        self.rest = rest.get(end + 1..);
        Some(trim(&rest[..end]))
    }
}

impl<'b> List<'b> {
    /// Takes what is left of the line, or the next line that isn't empty.
    #[inline]
    fn rest(&mut self) -> Option<&'b [u8]> {
        match self.rest.take() {
            Some(rest) => Some(rest),
            None => self.lines.find(|(_, value)| !value.is_empty()).map(|(_, value)| value),
        }
    }
}

/// Iterates over the parsed elements of one header.
///
/// A good element says itself where it ends, at the same comma at which [`List`] would split: its
/// grammar has commas only within quotes and angle brackets. So only bad ones are looked for first.
struct Elements<'b, F> {
    list: List<'b>,
    element: F,
}

impl<'b, T, F: Fn(&'b [u8], &mut usize) -> Result<T, FieldError>> Iterator for Elements<'b, F> {
    type Item = Result<T, FieldError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.list.rest()?;
        let mut stop = 0;
        let found = (self.element)(rest, &mut stop);
        if found.is_ok() {
            self.list.rest = rest.get(stop + 1..);
            return Some(found);
        }
        self.list.rest = Some(rest);
        self.list.next().map(|text| self.whole(text))
    }
}

impl<'b, T, F: Fn(&'b [u8], &mut usize) -> Result<T, FieldError>> Elements<'b, F> {
    #[cold]
    fn whole(&self, text: &'b [u8]) -> Result<T, FieldError> {
        params::whole(text, &self.element).map_err(|error| error.in_header(self.list.lines.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;

    const GOOD: &str = "SUBSCRIBE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
        From: <sip:f>;tag=1\r\nTo: <sip:t>\r\nCall-ID: c@h\r\nCSeq: 1 SUBSCRIBE\r\n";

    fn with<T>(lines: &str, f: impl FnOnce(Message<'_>) -> T) -> T {
        let text = format!("{GOOD}{lines}\r\n");
        let mut index = Index::default();
        f(parse(text.as_bytes(), &mut index).unwrap())
    }

    fn list(lines: &str) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        with(lines, |message| message.list(HeaderName::Route).map(text).collect())
    }

    #[test]
    fn lists() {
        assert_eq!(list(""), [""; 0]);
        assert_eq!(list("Route:\r\nRoute: a\r\n"), ["a"]);
        let lines = "Route: a , \"b,\" <c,d>;e\r\nX-Y: z\r\nRoute: f,\r\n g\r\n";
        assert_eq!(list(lines), ["a", "\"b,\" <c,d>;e", "f", "g"]);
        assert_eq!(list("Route: a,,b,\r\n"), ["a", "", "b", ""]);
        assert_eq!(list("Route: \"a,b\r\n"), ["\"a,b"]);
    }

    #[test]
    fn options() {
        with("Require: path, Sec-Agree\r\nk:\r\n", |message| {
            assert!(message.has_option(HeaderName::Require, "sec-agree"));
            assert!(!message.has_option(HeaderName::Require, "sec"));
            assert!(!message.has_option(HeaderName::Supported, "path"));
        });
    }

    #[test]
    fn numbers() {
        with("Expires: 99999999999\r\nMax-Forwards: 256\r\nMin-Expires: x\r\n", |message| {
            assert_eq!(message.expires(), Ok(Some(u32::MAX)));
            assert!(message.max_forwards().is_err() && message.min_expires().is_err());
        });
        with("Retry-After: 18000 (soon) ;duration=3600\r\n", |message| {
            assert_eq!(message.retry_after(), Ok(Some(18_000)));
            assert_eq!(message.expires(), Ok(None));
        });
    }

    #[test]
    fn contacts() {
        with("Contact: *\r\n", |message| {
            assert!(message.is_contact_star());
            assert_eq!(message.contact(), Ok(None));
            assert_eq!(message.check(), Ok(()));
        });
        with("m: <sip:a>,<sip:b>\r\nm: <sip:c>\r\n", |message| {
            assert_eq!(message.contact().unwrap().unwrap().uri_text, b"sip:a");
            assert_eq!(message.contacts().count(), 3);
        });
    }

    #[test]
    fn a_tag_is_the_same_however_often_it_is_asked_for() {
        with("", |message| {
            for _ in 0..2 {
                assert_eq!(message.tag(HeaderName::From), Ok(Some(&b"1"[..])));
                assert_eq!(message.tag(HeaderName::To), Ok(None));
            }
        });
        // An index that is used again knows nothing of the message before.
        let mut index = Index::default();
        for (text, tag) in [("f: <sip:f>;tag=22", &b"22"[..]), ("From: <sip:ff>;tag=3", b"3")] {
            let text = format!("SIP/2.0 200 OK\r\n{text}\r\nTo: <sip:t\r\n\r\n");
            let message = parse(text.as_bytes(), &mut index).unwrap();
            for _ in 0..2 {
                assert_eq!(message.tag(HeaderName::From), Ok(Some(tag)));
                assert!(message.tag(HeaderName::To).is_err());
            }
        }
    }

    #[test]
    fn sessions() {
        with("x: 4000;refresher=uac\r\nMin-SE: 90;x\r\nRSeq: 988789\r\n", |message| {
            let found = message.session_expires().unwrap().unwrap();
            assert_eq!(found.interval_s, 4000);
            assert_eq!(message.min_se(), Ok(Some(90)));
            assert_eq!(message.rseq(), Ok(Some(988_789)));
            assert_eq!(message.rack(), Ok(None));
        });
        with("RSeq: 4294967296\r\nRAck: 1 INVITE\r\nMin-SE: x\r\n", |message| {
            assert!(message.rseq().is_err() && message.rack().is_err());
            assert!(message.min_se().is_err());
        });
    }

    #[test]
    fn preferences() {
        let lines = "a: *;audio;require, *;+x=\"a,b\"\r\nAccept-Contact: *;class=\"!\"\r\n";
        with(lines, |message| {
            let found: Vec<_> = message.contact_preferences(HeaderName::AcceptContact).collect();
            assert_eq!(found.len(), 3);
            assert!(found[0].unwrap().require);
            assert_eq!(found[1].unwrap().params.value("+x"), Some(&b"a,b"[..]));
            let error = found[2].unwrap_err();
            assert_eq!(error.header, Some(HeaderName::AcceptContact));
            assert_eq!(message.contact_preferences(HeaderName::RejectContact).count(), 0);
        });
    }

    #[test]
    fn one_replaces_only() {
        let one = "Replaces: a;to-tag=b;from-tag=c\r\n";
        assert!(with(one, |message| message.replaces().is_ok_and(|found| found.is_some())));
        assert!(with(&one.repeat(2), |message| message.replaces().is_err()));
        assert_eq!(with("", |message| message.replaces().map(|found| found.is_some())), Ok(false));
    }

    #[test]
    fn a_response_has_its_cseqs_method() {
        let text = "SIP/2.0 200 OK\r\nCSeq: 1 SUBSCRIBE\r\n\r\n";
        let mut index = Index::default();
        let message = parse(text.as_bytes(), &mut index).unwrap();
        assert_eq!(message.method(), Method::Subscribe);
        assert_eq!(message.method_text(), b"SUBSCRIBE");
        assert_eq!(message.request_uri(), b"");
    }

    #[test]
    fn checks() {
        let status = |text: &str| {
            let mut index = Index::default();
            let text = format!("{text}\r\n");
            let checked = parse(text.as_bytes(), &mut index).unwrap().check();
            checked.map_err(|error| error.status)
        };
        assert_eq!(status(GOOD), Ok(()));
        assert_eq!(status(&GOOD.replace("SIP/2.0\r\nVia", "SIP/2.1\r\nVia")), Err(505));
        for line in GOOD.lines().skip(1) {
            assert_eq!(status(&GOOD.replace(&format!("{line}\r\n"), "")), Err(400), "{line}");
        }
        for (right, wrong) in [
            (";tag=1", ""),
            ("c@h", "c h"),
            ("1 SUBSCRIBE", "1 NOTIFY"),
            ("<sip:t>", "<sip:t"),
            ("sip:a@h", "sip:a@h?b=c"),
            ("z9hG4bK1", "z9hG4bK"),
        ] {
            assert_eq!(status(&GOOD.replace(right, wrong)), Err(400), "{wrong}");
        }
        assert_eq!(status(&format!("{GOOD}Expires: 1\r\nExpires: 1\r\n")), Ok(()));
        assert_eq!(status(&format!("{GOOD}Expires: 1\r\nExpires: 2\r\n")), Err(400));
        assert_eq!(status(&format!("{GOOD}Max-Forwards: x\r\n")), Err(400));
    }
}
