//! Flows (RFC 5626 clause 6): a UA instance that registers several times, each by another `reg-id`, and stays reachable by all of them.

use imstorm_sip::header::HeaderName;
use imstorm_sip::{Message, NameAddr, Uri};

use super::Scscf;
use super::registrar::{Refused, bad_request};
use super::simultaneous::Simultaneous;
use crate::event::Context;

/// What names a flow beside its user. The instance is a hash: flows are only compared with others of the same user.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Of the URN in `+sip.instance`.
    pub instance: u64,
    /// `reg-id`.
    pub reg_id: u32,
}

impl Scscf {
    /// The flow that a REGISTER for this contact is of. `None` where it is of none: it has no `reg-id`, or one that has to be ignored.
    pub(super) fn flow_of(
        &self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        contact: &NameAddr<'_>,
    ) -> Result<Option<Flow>, Refused> {
        let reg_id = contact.params.get("reg-id");
        let (Simultaneous::Outbound, Some(reg_id)) = (self.config.simultaneous, reg_id) else {
            return Ok(None);
        };
        let knows_outbound = message.has_option(HeaderName::Supported, "outbound");
        if !has_outbound_path(message) {
            if knows_outbound {
                ctx.counters.outbound_lacking += 1;
                return Err(Refused(439));
            }
            return Ok(None);
        }
        let Some(instance) = instance_of(contact) else {
            // RFC 5626 clause 6 calls it not valid, and has whoever processes it ignore reg-id. A UE that asks for a flow would then override
            // its other registrations, and find no `outbound` in the answer too late.
            return if knows_outbound { Err(bad_request(ctx)) } else { Ok(None) };
        };
        // RFC 5626 clause 11.1: 1 to 2^31 - 1. One registration, one flow (clause 6).
        let reg_id = reg_id.filter(|text| text.iter().all(u8::is_ascii_digit));
        let reg_id = reg_id.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        let is_bound = |contact: &NameAddr<'_>| match contact.params.value("expires") {
            Some(text) => text != b"0",
            None => message.expires().ok().flatten() != Some(0),
        };
        match reg_id {
            Some(reg_id @ 1..=0x7fff_ffff)
                if message.contacts().flatten().filter(is_bound).count() <= 1 =>
            {
                Ok(Some(Flow { instance: self.hash.hash(instance), reg_id }))
            }
            _ => Err(bad_request(ctx)),
        }
    }
}

/// The URN in a contact's `+sip.instance`.
pub(super) fn instance_of<'b>(contact: &NameAddr<'b>) -> Option<&'b [u8]> {
    let instance = contact.params.value("+sip.instance")?;
    let instance = instance.strip_prefix(b"<")?.strip_suffix(b">")?;
    (!instance.is_empty()).then_some(instance)
}

/// Whether the UE's first hop can keep a flow (RFC 5626 clause 5.1).
fn has_outbound_path(message: &Message<'_>) -> bool {
    let first = message.paths().next().and_then(Result::ok);
    first.is_some_and(|first| is_outbound(&first.uri))
}

fn is_outbound(uri: &Uri<'_>) -> bool {
    uri.param("ob").is_some()
}
