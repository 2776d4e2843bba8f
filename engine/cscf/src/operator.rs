//! What an operator asks of the core by hand: the provisioning side of the HSS, and the S-CSCF's own reasons to shorten or end a
//! connection (TS 24.229 clauses 5.4.1.5 and 5.4.1.6, for connections instead of registrations).

use crate::scscf::Reason;

/// Something that an operator asks for. It concerns all connections of one private identity, those of modified ones included; of a modified
/// one, what is shortened or ended is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Lowers the remaining lifetime, so that the UE authenticates again or loses the connection.
    Shorten {
        /// The private identity.
        impi: Vec<u8>,
        /// The lifetime that is left, in seconds. A connection that has less left keeps what it has.
        expires_s: u32,
    },
    /// Ends the connections.
    Terminate {
        /// The private identity.
        impi: Vec<u8>,
        /// Whether the UE may come back: [`Reason::Deactivated`] or [`Reason::Rejected`].
        reason: Reason,
    },
    /// Gives the user one more public identity.
    AddIdentity {
        /// The private identity.
        impi: Vec<u8>,
        /// The new public identity, a sip: or tel: URI.
        impu: Vec<u8>,
        /// It may be called, and not be used for calling.
        barred: bool,
    },
    /// Takes a public identity from the user.
    RemoveIdentity {
        /// The private identity.
        impi: Vec<u8>,
        /// The public identity.
        impu: Vec<u8>,
    },
}

impl Command {
    /// The private identity that it concerns.
    #[must_use]
    pub fn impi(&self) -> &[u8] {
        match self {
            Self::Shorten { impi, .. }
            | Self::Terminate { impi, .. }
            | Self::AddIdentity { impi, .. }
            | Self::RemoveIdentity { impi, .. } => impi,
        }
    }
}

/// What a command did.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Connections that it concerned, and whose UEs are told.
    pub connections: usize,
}

/// Why a command did nothing.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No subscriber has this private identity.
    UserUnknown,
    /// The public identity is none of the user's.
    IdentityUnknown,
    /// The public identity is the user's already, as it was to become.
    IdentityHeld,
    /// The public identity is another user's, or the user's already with the other barring.
    IdentityTaken,
    /// The public identity is no sip: or tel: URI.
    IdentityMalformed,
    /// The user's identities would not fit a notification any more.
    TooManyIdentities,
    /// The S-CSCF authenticates nobody, and so can't have anybody authenticate again.
    NoAuthentication,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::UserUnknown => "no subscriber has this private identity",
            Self::IdentityUnknown => "the public identity is none of this subscriber's",
            Self::IdentityHeld => "the public identity is this subscriber's already",
            Self::IdentityTaken => "the public identity is in use already",
            Self::IdentityMalformed => "expected a sip: or tel: URI",
            Self::TooManyIdentities => "the subscriber's identities would not fit a notification",
            Self::NoAuthentication => "the S-CSCF authenticates nobody",
        })
    }
}

impl std::error::Error for Refusal {}
