//! Modified private identities (the second paper's third solution): `user+1@realm` is `user@realm` in all that the HSS knows, and somebody else in all that tells
//! registrations apart. Here are those that are in use: by a connection, or by a challenge that waits. Each lives as long as its uses.

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;

use super::Scscf;
use super::registrar::Refused;
use crate::event::Context;
use crate::hss::UserId;

/// A modified private identity that is in use.
#[derive(Debug)]
pub struct ModifiedImpi {
    /// The user whose private identity is its base.
    user: UserId,
    /// All of it.
    text: Handle,
    /// Connections and challenges that have it.
    uses: u32,
    /// The next of the same user.
    next_of_user: Option<Key>,
}

impl Scscf {
    /// The modified private identity by which a user comes, with one use that has to be given back. `None` where it is the private identity itself.
    ///
    /// # Errors
    /// 403 where it would be one more than a user may have in use, 503 where there is no room.
    pub(super) fn use_modified(
        &mut self,
        ctx: &mut Context<'_>,
        user: UserId,
        impi: &[u8],
    ) -> Result<Option<Key>, Refused> {
        if self.config.modified_impis_max == 0 || !self.directory.is_modified(impi) {
            return Ok(None);
        }
        let (found, count) = self.find_modified(user, impi);
        if let Some(key) = found {
            self.use_again(Some(key));
            return Ok(Some(key));
        }
        if count >= self.config.modified_impis_max {
            ctx.counters.modified_impis_refused += 1;
            return Err(Refused(403));
        }
        let text = match self.modified.len() < self.modified.capacity() {
            true => self.strings.store(impi).ok(),
            false => None,
        };
        let Some(text) = text else {
            ctx.counters.table_full += 1;
            return Err(Refused(503));
        };
        let head = user.0 as usize;
        let next_of_user = self.modified_of[head];
        let made = ModifiedImpi { user, text, uses: 1, next_of_user };
        let key = self.modified.insert(made).expect("room, as just seen");
        self.modified_of[head] = Some(key);
        Ok(Some(key))
    }

    /// One more has a modified private identity.
    pub(super) fn use_again(&mut self, key: Option<Key>) {
        if let Some(found) = key.and_then(|key| self.modified.get_mut(key)) {
            found.uses += 1;
        }
    }

    /// One less has it; the last one takes it out of the table.
    pub(super) fn give_back(&mut self, key: Option<Key>) {
        let Some(key) = key else { return };
        let Some(found) = self.modified.get_mut(key) else { return };
        found.uses -= 1;
        if found.uses > 0 {
            return;
        }
        let gone = self.modified.remove(key).expect("found above");
        self.strings.release(gone.text);
        let mut next = &mut self.modified_of[gone.user.0 as usize];
        if *next == Some(key) {
            *next = gone.next_of_user;
            return;
        }
        while let Some(other) = *next {
            next = &mut self.modified.get_mut(other).expect("a user's list is whole").next_of_user;
            if *next == Some(key) {
                *next = gone.next_of_user;
                return;
            }
        }
    }

    /// The modified private identity with this text, and how many the user has in use: few.
    fn find_modified(&self, user: UserId, impi: &[u8]) -> (Option<Key>, usize) {
        let (mut found, mut count) = (None, 0);
        let mut next = self.modified_of[user.0 as usize];
        while let Some(key) = next {
            let modified = self.modified.get(key).expect("a user's list is whole");
            if self.strings.get(&modified.text) == impi {
                found = Some(key);
            }
            count += 1;
            next = modified.next_of_user;
        }
        (found, count)
    }

    /// The whole text of a modified private identity.
    pub(super) fn modified_text(&self, key: Key) -> Option<&[u8]> {
        self.modified.get(key).map(|found| self.strings.get(&found.text))
    }

    /// Whether a connection is of this private identity as it is written, or of whatever is derived from it where it is a base.
    pub(super) fn is_of_impi(&self, connection: Key, impi: &[u8]) -> bool {
        let Some(found) = self.subscriptions.get(connection) else { return false };
        if !self.directory.is_modified(impi) {
            return true;
        }
        found.modified.and_then(|key| self.modified_text(key)) == Some(impi)
    }
}
