//! What a completed server transaction leaves behind.

/// A completed server transaction until timer J fires.
///
/// The final response is not kept: a retransmission of the request carries its Vias, From, To,
/// Call-ID and CSeq, so that [`response`](crate::response) with `status` and the tag of
/// `to_tag` gives the same response again. What else it carried (a challenge, an Expires) the owner
/// regenerates from the state that `owner` names, or leaves out if that is gone: a client that lost
/// the first copy then retries, which is what it does without an answer, too. At 128 s of timer J
/// and 25,000 set-ups a second, every byte here costs 3.2 MB.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub struct Tombstone {
    /// The transaction's key: [`server_key`](super::server_key).
    pub key: u64,
    /// A number from which the To tag is written (16 hexadecimal digits); 0 if the request had one.
    pub to_tag: u64,
    /// What the response's other headers are regenerated from: a slab key of the caller's.
    pub owner: u64,
    /// When it goes, nanoseconds.
    pub ends_at_ns: u64,
    /// A value for the response that the state doesn't hold, such as the granted seconds.
    pub detail: u32,
    /// The request's CSeq, lest a colliding key answers another request.
    pub cseq: u32,
    /// The final response's status.
    pub status: u16,
    /// What kind of response it was, in the caller's terms.
    pub kind: u8,
}

const _: () = assert!(size_of::<Tombstone>() <= 48);
