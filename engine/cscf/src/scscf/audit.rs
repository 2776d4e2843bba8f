//! The S-CSCF's tables as a checker sees them: what must hold between any two steps, whatever came.

use std::net::IpAddr;

use imstorm_base::time::Time;
use imstorm_sip::DialogParts;

use super::Scscf;
use super::session::SessionStage;
use crate::hss::UserId;

/// A connection as its notifier sees it between two steps.
#[derive(Copy, Clone, Debug)]
pub struct SubscriptionState {
    /// The user.
    pub user: UserId,
    /// The UE's address.
    pub ue_ip: IpAddr,
    /// It is not ending.
    pub is_live: bool,
    /// A NOTIFY about it is under way, or will be.
    pub is_notifying: bool,
    /// When it ends.
    pub expires_at: Time,
}

/// A session as its S-CSCF sees it between two steps.
#[derive(Copy, Clone, Debug)]
pub struct SessionState<'a> {
    /// The user.
    pub user: UserId,
    /// The UE's address over the connection that it runs over.
    pub ue_ip: IpAddr,
    /// It has been accepted, and nobody has hung up.
    pub is_confirmed: bool,
    /// A request that changes it is under way.
    pub is_changing: bool,
    /// The UE's dialog: Call-ID, the UE's tag, and the tag that it knows of the other party.
    pub call_id: &'a [u8],
    /// See [`SessionState::call_id`].
    pub ue_tag: &'a [u8],
    /// See [`SessionState::call_id`].
    pub far_tag: &'a [u8],
}

impl Scscf {
    /// All sessions, each once for each of its parties that is served here.
    pub fn session_states(&self) -> impl Iterator<Item = SessionState<'_>> {
        self.sessions.iter().filter_map(|(_, session)| {
            let parts = DialogParts::decode(self.strings.get(&session.ue.dialog));
            Some(SessionState {
                user: session.user,
                ue_ip: self.subscriptions.get(session.connection)?.contact.get().ip(),
                is_confirmed: session.stage == SessionStage::Confirmed,
                is_changing: session.is_changing(),
                call_id: parts.call_id,
                ue_tag: parts.remote_tag,
                far_tag: parts.local_tag,
            })
        })
    }

    /// All subscriptions of UEs.
    pub fn subscription_states(&self) -> impl Iterator<Item = SubscriptionState> {
        self.subscriptions.iter().map(|(_, subscription)| SubscriptionState {
            user: subscription.user,
            ue_ip: subscription.contact.get().ip(),
            is_live: subscription.ending.is_none(),
            is_notifying: subscription.ue.is_behind() || subscription.watching_pcscf.is_behind(),
            expires_at: subscription.ue.expires_at,
        })
    }

    /// Whether bindings, sessions and connections agree: each runs over a connection that is there and not ending, and is in its
    /// connection's list once.
    ///
    /// # Errors
    /// What does not hold.
    pub fn audit(&self) -> Result<(), String> {
        self.audit_sessions()?;
        let mut listed = 0;
        for (key, subscription) in self.subscriptions.iter() {
            if subscription.bindings.is_none() {
                continue;
            }
            if subscription.ending.is_some() {
                return Err(format!("a binding on {key:?}, which is ending"));
            }
            for binding in self.bindings_over(key) {
                listed += 1;
                let owner = self.bindings.get(binding).map(|binding| binding.connection);
                if owner != Some(key) {
                    return Err(format!("{key:?} lists a binding of {owner:?}"));
                }
            }
        }
        if listed != self.bindings.len() {
            let orphans = self.bindings.len() - listed;
            return Err(format!("{orphans} bindings on connections that are gone"));
        }
        Ok(())
    }

    fn audit_sessions(&self) -> Result<(), String> {
        let mut listed = 0;
        for (key, subscription) in self.subscriptions.iter() {
            for session in self.sessions_over(key) {
                listed += 1;
                let session = self.sessions.get(session).map(|session| session.connection);
                if session != Some(key) {
                    return Err(format!("{key:?} lists a session of {session:?}"));
                }
                if subscription.ending.is_some() {
                    return Err(format!("a session on {key:?}, which is ending"));
                }
            }
        }
        match self.sessions.len() - listed {
            0 => Ok(()),
            orphans => Err(format!("{orphans} sessions on connections that are gone")),
        }
    }

    /// A user's identities as this S-CSCF has them, as a packed list.
    pub fn identities<'a>(
        &self,
        user: UserId,
        out: &'a mut [u8; crate::hss::IDENTITIES_BYTES_MAX],
    ) -> &'a [u8] {
        let mut room = crate::hss::IdentitiesRoom::default();
        let packed = self.profile(user, &mut room);
        out[..packed.len()].copy_from_slice(packed);
        &out[..packed.len()]
    }
}
