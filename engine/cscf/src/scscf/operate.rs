//! The operator's hand at the S-CSCF: each command is followed at once, and told to UE and P-CSCF by a NOTIFY.

use imstorm_base::slab::Key;
use imstorm_base::time::seconds;
use smallvec::SmallVec;

use super::Scscf;
use super::subscription::{Reason, Whose};
use crate::event::Context;
use crate::hss::{Hss, IdentitiesRoom, UserId};
use crate::identity::IdentityList;
use crate::operator::{Command, Done, Refusal};

impl Scscf {
    /// Does what the operator asks for, to all live connections of the user, or to those of one modified private identity.
    ///
    /// # Errors
    /// As [`Refusal`] says; nothing changes then.
    pub fn operate(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &mut Hss,
        command: &Command,
    ) -> Result<Done, Refusal> {
        let user = hss.directory().find(command.impi()).ok_or(Refusal::UserUnknown)?;
        let mut connections = self.live_connections(user);
        connections.retain(|key| self.is_of_impi(*key, command.impi()));
        match command {
            Command::Shorten { .. } if self.is_open() => return Err(Refusal::NoAuthentication),
            Command::Shorten { expires_s, .. } => {
                for key in &connections {
                    self.shorten(ctx, *key, *expires_s);
                }
            }
            Command::Terminate { reason, .. } => {
                for key in &connections {
                    self.end(ctx, *key, *reason);
                }
            }
            Command::AddIdentity { impu, barred, .. } => {
                let packed = hss.add_identity(user, impu, *barred)?;
                self.profile_pushed(ctx, user, packed, &connections);
            }
            Command::RemoveIdentity { impu, .. } => {
                let mut before = IdentitiesRoom::default();
                let before = IdentityList::new(self.profile(user, &mut before)).find(impu);
                let packed = hss.remove_identity(user, impu)?;
                if let Some(removed) = before {
                    self.end_identity(ctx, &connections, removed.uri);
                }
                self.profile_pushed(ctx, user, packed, &connections);
            }
        }
        Ok(Done { connections: connections.len() })
    }

    /// A user's connections that are not ending.
    pub(super) fn live_connections(&self, user: UserId) -> SmallVec<[Key; 4]> {
        let mut found = SmallVec::new();
        let mut next = self.by_user.get(user.0 as usize);
        while let Some(key) = next {
            let subscription = self.subscriptions.get(key).expect("a user's list is whole");
            if subscription.ending.is_none() {
                found.push(key);
            }
            next = subscription.next_of_user;
        }
        found
    }

    /// Network-initiated re-authentication (the paper's section 3.1): the lifetime is lowered, and the next refresh is challenged
    /// whatever it shows.
    fn shorten(&mut self, ctx: &mut Context<'_>, key: Key, expires_s: u32) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        let expires_at = ctx.now.saturating_add(seconds(u64::from(expires_s)));
        subscription.must_challenge = true;
        let watcher = &mut subscription.ue;
        watcher.expires_at = watcher.expires_at.min(expires_at);
        ctx.counters.lifetimes_lowered += 1;
        self.arm_end(ctx, key);
        if self.is_registration(key) {
            return self.shorten_bindings(ctx, key, expires_at);
        }
        self.notify(ctx, key, Whose::Ue);
        self.notify(ctx, key, Whose::Pcscf);
    }

    /// PPR (TS 29.228 clause 6.2.1): the user's identities have changed. Without one that may be used there is nothing to
    /// authorise any more.
    fn profile_pushed(
        &mut self,
        ctx: &mut Context<'_>,
        user: UserId,
        packed: &[u8],
        connections: &[Key],
    ) {
        ctx.counters.identities_changed += 1;
        let usable = IdentityList::new(packed).iter().any(|identity| !identity.barred);
        self.pushed.insert(user, packed.into());
        for key in connections {
            if usable {
                self.notify(ctx, *key, Whose::Ue);
                self.notify(ctx, *key, Whose::Pcscf);
            } else {
                self.end(ctx, *key, Reason::Rejected);
            }
        }
    }

    /// Whether a public identity is one of a user's that is not barred.
    pub(super) fn may_use(&self, user: UserId, impu: &[u8]) -> bool {
        if self.pushed.is_empty() && self.directory.is_derived_default(user, impu) {
            return true;
        }
        let mut packed = IdentitiesRoom::default();
        let identities = IdentityList::new(self.profile(user, &mut packed));
        identities.find(impu).is_some_and(|identity| !identity.barred)
    }

    /// A user's identities as the HSS has told them, as a packed list.
    pub(super) fn profile<'a>(&self, user: UserId, room: &'a mut IdentitiesRoom) -> &'a [u8] {
        match self.pushed.get(&user).filter(|_| !self.pushed.is_empty()) {
            Some(packed) => {
                let out = &mut room.of(packed.len())[..packed.len()];
                out.copy_from_slice(packed);
                out
            }
            None => room.pack(|out| self.directory.identities(user, out)),
        }
    }
}
