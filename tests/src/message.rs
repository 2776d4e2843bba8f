//! A SIP message as plain text, taken apart by nothing but its line ends.

/// A message, received or to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The request or status line.
    pub start: String,
    /// Names and values of the header lines, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Text {
    /// A request without headers.
    #[must_use]
    pub fn request(method: &str, uri: &str) -> Self {
        Self { start: format!("{method} {uri} SIP/2.0"), headers: Vec::new(), body: String::new() }
    }

    /// Takes a received message apart. It must be one that the SIP crate reads too.
    ///
    /// # Panics
    /// Where it is no SIP message: everything that the engine emits is one.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut index = imstorm_sip::Index::default();
        let read = imstorm_sip::parse(bytes, &mut index).expect("a message that the parser reads");
        read.check().expect("a message with all that RFC 3261 demands");
        let text = std::str::from_utf8(bytes).expect("a message of UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("an empty line");
        let mut lines = head.split("\r\n");
        let start = lines.next().expect("a start line").to_owned();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').expect("a header line");
            (name.trim().to_owned(), value.trim().to_owned())
        });
        let headers = headers.collect::<Vec<_>>();
        let length = headers.iter().find(|(name, _)| name == "Content-Length");
        let length: usize = length.expect("Content-Length").1.parse().expect("a number");
        assert_eq!(body.len(), length, "Content-Length");
        Self { start, headers, body: body.to_owned() }
    }

    /// The message on the wire; Content-Length is added where it is not set.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.header("Content-Length").is_none() {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        text.push_str(&self.body);
        text.into_bytes()
    }

    /// The status of a response; 0 for a request.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.start.strip_prefix("SIP/2.0 ") {
            Some(rest) => rest[..3].parse().expect("a status of three digits"),
            None => 0,
        }
    }

    /// A request's method; a response's is that of its CSeq.
    #[must_use]
    pub fn method(&self) -> &str {
        let from = if self.status() > 0 { self.expect("CSeq") } else { &self.start };
        match self.status() {
            0 => from.split(' ').next().unwrap_or_default(),
            _ => from.split(' ').nth(1).unwrap_or_default(),
        }
    }

    /// A request's URI.
    #[must_use]
    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).expect("a Request-URI")
    }

    /// The number in CSeq.
    #[must_use]
    pub fn cseq(&self) -> u32 {
        let cseq = self.expect("CSeq");
        cseq.split(' ').next().and_then(|number| number.parse().ok()).expect("a number in CSeq")
    }

    /// The value of the first header line with this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// As [`Text::header`], where there must be one.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn expect(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no {name} in\n{self}"))
    }

    /// The values of all header lines with this name.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// Replaces all header lines with this name by one.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let place = self.headers.iter().position(|(other, _)| other.eq_ignore_ascii_case(name));
        self = self.without(name);
        let place = place.unwrap_or(self.headers.len());
        self.headers.insert(place, (name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header line at the end.
    #[must_use]
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes all header lines with this name out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// Replaces a part of one header's value.
    ///
    /// # Panics
    /// Where the part is not there: the alteration would alter nothing.
    #[must_use]
    pub fn altered(self, name: &str, from: &str, to: &str) -> Self {
        let value = self.expect(name);
        assert!(value.contains(from), "no {from:?} in {name}: {value}");
        let value = value.replacen(from, to, 1);
        self.with(name, &value)
    }
}

/// What a hop has done to a message's header lines, by names in alphabetical order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Lines that are gone.
    pub gone: Vec<String>,
    /// Lines that have come.
    pub come: Vec<String>,
    /// Lines whose value is another.
    pub altered: Vec<String>,
}

impl Changes {
    /// From the message before the hop to the one after it.
    #[must_use]
    pub fn between(before: &Text, after: &Text) -> Self {
        let mut names: Vec<&String> =
            before.headers.iter().chain(&after.headers).map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        // It follows from the body; a text that was never sent has none.
        names.retain(|name| *name != "Content-Length");
        let mut changes = Self::default();
        for name in names {
            let (was, is) = (before.all(name), after.all(name));
            let (lines, many) = match was.len().cmp(&is.len()) {
                std::cmp::Ordering::Greater => (&mut changes.gone, was.len() - is.len()),
                std::cmp::Ordering::Less => (&mut changes.come, is.len() - was.len()),
                std::cmp::Ordering::Equal => (&mut changes.altered, usize::from(was != is)),
            };
            lines.extend(std::iter::repeat_n(name.clone(), many));
        }
        changes
    }

    /// Asserts that it is just this.
    ///
    /// # Panics
    /// Where it is not.
    pub fn assert_are(&self, gone: &[&str], come: &[&str], altered: &[&str]) {
        assert_eq!(self.gone, gone, "gone");
        assert_eq!(self.come, come, "come");
        assert_eq!(self.altered, altered, "altered");
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

/// The value of a parameter `name="value"` or `name=value` in a header's value.
#[must_use]
pub fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = value;
    loop {
        let at = rest.find(name)?;
        let before = rest[..at].chars().next_back();
        let tail = &rest[at + name.len()..];
        let starts = before.is_none_or(|before| matches!(before, ' ' | ',' | ';' | '<' | '?'));
        match tail.strip_prefix('=').filter(|_| starts) {
            Some(quoted) if quoted.starts_with('"') => return quoted[1..].split('"').next(),
            Some(plain) => return plain.split([',', ';', ' ', '>']).next(),
            None => rest = tail,
        }
    }
}
