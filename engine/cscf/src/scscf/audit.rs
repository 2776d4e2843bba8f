//! The S-CSCF's tables as a checker sees them: what must hold between any two steps, whatever came.

use std::net::IpAddr;

use imstorm_base::time::Time;

use super::Scscf;
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

impl Scscf {
    /// All subscriptions of UEs.
    pub fn subscription_states(&self) -> impl Iterator<Item = SubscriptionState> {
        self.subscriptions.iter().map(|(_, subscription)| SubscriptionState {
            user: subscription.user,
            ue_ip: subscription.contact.ip(),
            is_live: subscription.ending.is_none(),
            is_notifying: subscription.ue.is_behind() || subscription.watching_pcscf.is_behind(),
            expires_at: subscription.ue.expires_at,
        })
    }

    /// Whether bindings and connections agree: a binding runs over a connection that is there and not ending, and each is in its
    /// connection's list once.
    ///
    /// # Errors
    /// What does not hold.
    pub fn audit(&self) -> Result<(), String> {
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

    /// A user's identities as this S-CSCF has them, as a packed list.
    pub fn identities<'a>(
        &self,
        user: UserId,
        out: &'a mut [u8; crate::hss::IDENTITIES_BYTES_MAX],
    ) -> &'a [u8] {
        self.profile(user, out)
    }
}
