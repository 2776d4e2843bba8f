//! SIP methods: one table.

macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident $text:literal,)*) => {
        /// A request's method. What the table doesn't know is `Other`: compare its text.
        #[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum Method {
            $($(#[$doc])* $variant,)*
            /// A method that this crate has no name for.
            Other,
        }

        impl Method {
            /// All methods but `Other`, in the table's order.
            pub const ALL: &'static [Method] = &[$(Method::$variant),*];

            /// The method that `text` names. Methods are case-sensitive (RFC 3261 7.1) and an
            /// escaped character is no other character's spelling (RFC 4475 3.1.1.5).
            #[inline]
            pub fn parse(text: &[u8]) -> Method {
                $(if text == $text.as_bytes() { return Method::$variant; })*
                Method::Other
            }

            /// Its name as on the wire; `OTHER` for what has none here.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Method::$variant => $text,)*
                    Method::Other => "OTHER",
                }
            }
        }
    };
}

methods! {
    /// RFC 3261 13.
    Invite "INVITE",
    /// RFC 3261 13, 17.
    Ack "ACK",
    /// RFC 3261 15.
    Bye "BYE",
    /// RFC 3261 9.
    Cancel "CANCEL",
    /// RFC 3261 11.
    Options "OPTIONS",
    /// RFC 3261 10.
    Register "REGISTER",
    /// RFC 3262.
    Prack "PRACK",
    /// RFC 3311.
    Update "UPDATE",
    /// RFC 6665.
    Subscribe "SUBSCRIBE",
    /// RFC 6665.
    Notify "NOTIFY",
    /// RFC 3903.
    Publish "PUBLISH",
    /// RFC 3428.
    Message "MESSAGE",
    /// RFC 6086.
    Info "INFO",
    /// RFC 3515.
    Refer "REFER",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_leads_back_to_its_method() {
        for &method in Method::ALL {
            assert_eq!(Method::parse(method.as_str().as_bytes()), method);
        }
        assert_eq!(Method::parse(b"invite"), Method::Other);
        assert_eq!(Method::parse(b"RE%47IST%45R"), Method::Other);
        assert_eq!(Method::parse(b""), Method::Other);
    }
}
