//! ESP in user space (RFC 4303), for the security associations that IMS AKA makes (TS 33.203).
//!
//! It seals a SIP message that lies in the caller's buffer into an ESP packet, and opens one, both
//! in place. It holds the transforms, the anti-replay window and the four associations of a set;
//! it is no IPsec stack: it has no socket, no policy database, no key exchange and no table of SPIs,
//! and it knows nothing of SIP's syntax.
//!
//! A datagram passes through it so: [`classify`] says which SPI it carries; the caller finds the
//! [`SaSet`] of that SPI; [`SaSet::open`] checks replay and integrity, decrypts in place and
//! compares the inner addresses and ports with the association's [`Selectors`]; the range that it
//! gives is the SIP message. A message leaves by [`SaSet::seal`], which writes the headers in
//! front of it and padding and ICV behind, and gives the range of the packet. The outer IP header
//! ([`Mode::Transport`]) or the outer UDP header with port 4500 ([`Mode::UdpTunnel`]) belongs to
//! the socket.
//!
//! Whoever knows a set's addresses and ports anyway keeps its [`Associations`] alone, which do the same.
//!
//! Whoever has several packets at a time has them done together, each under its own keys: packets that
//! came with [`SaSet::open_later`], [`OpenBatch::run`] and [`SaSet::open_now`], packets to send with
//! [`SaSet::seal_later`] and [`SealBatch::seal_all`]. What happens to each, and in which order, is the
//! same; [`Lanes`] are how many the processor takes at once.
#![deny(unsafe_code)]

mod agreement;
mod associations;
mod batch;
mod inner;
mod integrity;
#[allow(unsafe_code)]
mod lanes;
mod packet;
mod replay;
mod sa;
#[cfg(test)]
mod test_data;
#[cfg(test)]
mod tests;
mod transform;

pub use agreement::{AgreementError, LocalPort, Offer, SaSet, SecurityParameters, choose};
pub use associations::{Associations, Traffic};
pub use batch::{BATCH_MAX, OpenBatch, OpenTicket, SealBatch};
pub use inner::{InnerHeaderError, Selector};
pub use lanes::{Lanes, prefetch};
pub use packet::{
    Datagram, HEADROOM, Mode, OpenError, PAYLOAD_LEN_MAX, SealError, TAILROOM, classify, open,
    seal, spi,
};
pub use replay::{ReplayError, ReplayWindow};
pub use sa::{Inbound, Outbound, Selectors};
pub use transform::{EncryptionAlgorithm, IntegrityAlgorithm, Keys, Suite, TransformState};
