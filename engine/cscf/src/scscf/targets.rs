//! Which contacts a request for one of our users goes to: those that are bound to the identity or GRUU, as the callee's `q` and the
//! caller's preferences order them (RFC 3841 clause 7.2).

use std::cmp::Reverse;
use std::net::SocketAddr;

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use imstorm_base::time::Time;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{ContactPreference, Feature, Message, Method, Params, Uri};
use smallvec::SmallVec;

use super::Scscf;
use super::binding::{Binding, BindingParts};
use super::registrar::BINDINGS_PER_IDENTITY_MAX;
use super::simultaneous::Simultaneous;
use crate::event::Context;
use crate::hss::{Hss, IdentitiesRoom, UserId};
use crate::identity::IdentityList;

/// What a request goes to: of equal rank, the newest first.
pub(super) type Targets = SmallVec<[Target; BINDINGS_PER_IDENTITY_MAX]>;

/// Keys of the bindings of other flows.
pub(super) type Flows = SmallVec<[Key; BINDINGS_PER_IDENTITY_MAX]>;

/// A contact that a request goes to.
pub(super) struct Target {
    /// The key of its binding.
    pub binding: Key,
    /// The other contacts of the same instance that may be called, in the order in which they are tried if one fails. No two of an instance's
    /// are called at once, flows or not (RFC 5626 clause 7).
    pub others: Flows,
    instance: Option<Instance>,
}

/// A UA instance of a user, by a hash of its URN: another user of the same identity may say the same URN.
type Instance = (UserId, u64);

/// A whole match, of a contact with what the caller asks for.
const WHOLE: u32 = 1_000_000;

impl Scscf {
    /// The bindings that a request to a user of this S-CSCF goes to, by its Request-URI: an identity or a GRUU. There is at least one;
    /// else the request is refused.
    pub(super) fn targets_or_refuse(
        &self,
        ctx: &mut Context<'_>,
        hss: &Hss,
        from: SocketAddr,
        message: &Message<'_>,
    ) -> Option<Targets> {
        let uri = Uri::parse(message.request_uri());
        let (Ok(uri), true) = (uri, can_read_preferences(message)) else {
            ctx.counters.bad_request += 1;
            self.refuse(ctx, from, message, 400, |_| ());
            return None;
        };
        let targets = if super::gruu::shard_of(uri.user.unwrap_or_default()).is_some() {
            self.target_of_temporary_gruu(ctx.now, &uri, message)
        } else {
            let Some(user) = hss.location_info(message.request_uri()) else {
                ctx.counters.not_found += 1;
                self.refuse(ctx, from, message, 404, |_| ());
                return None;
            };
            let named = message.request_uri();
            if self.pushed.is_empty() && self.directory.is_derived_default(user, named) {
                self.targets(ctx.now, named, &uri, message)
            } else {
                let mut packed = IdentitiesRoom::default();
                let identities = IdentityList::new(self.profile(user, &mut packed));
                let identity = identities.find(named);
                identity.map(|it| self.targets(ctx.now, it.uri, &uri, message)).unwrap_or_default()
            }
        };
        if targets.is_empty() {
            ctx.counters.not_registered += 1;
            self.refuse(ctx, from, message, 480, |_| ());
            return None;
        }
        Some(targets)
    }

    /// The bindings of an identity that `message`, whose Request-URI is `uri`, goes to: those that the callee prefers most (`q`), and
    /// of them those that the caller prefers most. For a public GRUU, the newest of its instance (RFC 5627 clause 6.1), of each user of a shared identity who has it. Empty where
    /// there is none.
    pub(super) fn targets(
        &self,
        now: Time,
        impu: &[u8],
        uri: &Uri<'_>,
        message: &Message<'_>,
    ) -> Targets {
        let instance = uri.param("gr").flatten();
        let keys = self.bindings_of(self.aor(impu));
        let bindings = keys.iter().filter_map(|key| Some((*key, self.bindings.get(*key)?)));
        let alive = bindings.filter(|(_, binding)| is_alive(binding, now));
        // All contacts' parameters, one behind the other.
        let mut params = SmallVec::<[u8; 1024]>::new();
        let asked = alive.filter_map(|(key, binding)| {
            let mut room = TextRoom::default();
            let parts = BindingParts::read(self.strings.read(&binding.strings, &mut room));
            let is_asked = instance.is_none_or(|wanted| parts.instance == wanted);
            is_asked.then(|| {
                let start = params.len();
                params.extend_from_slice(parts.params);
                (key, binding, start..params.len(), self.instance_of(binding, &parts))
            })
        });
        let asked: SmallVec<[_; BINDINGS_PER_IDENTITY_MAX]> = asked.collect();
        let candidates = asked.into_iter().map(|(id, binding, bounds, instance)| Candidate {
            id,
            q_millis: binding.q_millis,
            order: binding.order,
            params: Params(&params[bounds]),
            instance,
        });
        let mut candidates: Candidates<'_> = candidates.collect();
        if instance.is_some() {
            // Which of an instance's contacts is meant is no question of preference.
            candidates.iter_mut().for_each(|candidate| candidate.q_millis = 0);
        }
        let mut found = best(&candidates, message);
        if message.has_option(HeaderName::RequestDisposition, "no-fork") {
            found.truncate(1);
        }
        if instance.is_some() {
            // Of each user who has such an instance: of a shared identity nobody takes another's GRUU away.
            let mut users = SmallVec::<[Option<UserId>; BINDINGS_PER_IDENTITY_MAX]>::new();
            found.retain(|target| {
                let user = self.user_of(target.binding);
                let is_first = !users.contains(&user);
                users.push(user);
                is_first
            });
        }
        found
    }

    fn target_of_temporary_gruu(&self, now: Time, uri: &Uri<'_>, message: &Message<'_>) -> Targets {
        let found = uri.user.and_then(|user| self.gruus.read(user));
        let found = found.and_then(|gruu| Some((gruu, self.bindings.get(gruu.binding)?)));
        let Some((gruu, binding)) = found else { return Targets::new() };
        if binding.gruu_epoch != gruu.epoch
            || gruu.count > binding.gruu_count
            || !is_alive(binding, now)
        {
            return Targets::new();
        }
        let mut room = TextRoom::default();
        let parts = BindingParts::read(self.strings.read(&binding.strings, &mut room));
        let (id, params) = (gruu.binding, Params(parts.params));
        best(&[Candidate { id, q_millis: 0, order: 0, params, instance: None }], message)
    }

    /// The instance that a binding is of, where those of one are called one after the other.
    fn instance_of(&self, binding: &Binding, parts: &BindingParts<'_>) -> Option<Instance> {
        let is_asked = self.config.simultaneous == Simultaneous::Outbound;
        let user = self.subscriptions.get(binding.connection)?.user;
        let has_one = is_asked && !parts.instance.is_empty();
        has_one.then(|| (user, self.hash.hash(parts.instance)))
    }

    fn user_of(&self, binding: Key) -> Option<UserId> {
        let binding = self.bindings.get(binding)?;
        self.subscriptions.get(binding.connection).map(|found| found.user)
    }
}

fn is_alive(binding: &Binding, now: Time) -> bool {
    !binding.event.is_end() && binding.expires_at > now
}

/// A contact that a request may go to.
#[derive(Copy, Clone, Debug)]
struct Candidate<'a> {
    id: Key,
    /// The callee's preference, in thousandths.
    q_millis: u16,
    /// The newest has the highest.
    order: u64,
    /// Contact's parameters.
    params: Params<'a>,
    /// The instance, where those of one are called one after the other.
    instance: Option<Instance>,
}

type Candidates<'a> = SmallVec<[Candidate<'a>; BINDINGS_PER_IDENTITY_MAX]>;

/// Whether Accept-Contact and Reject-Contact can be read: what decides where a request goes must be well-formed (RFC 3261 clause 16.3).
fn can_read_preferences(message: &Message<'_>) -> bool {
    [HeaderName::AcceptContact, HeaderName::RejectContact]
        .into_iter()
        .all(|name| message.contact_preferences(name).all(|preference| preference.is_ok()))
}

/// The candidates of the first rank, the newest first (RFC 3841 clause 7.2.4), of an instance's contacts one, with the others behind it.
fn best(candidates: &[Candidate<'_>], message: &Message<'_>) -> Targets {
    let is_explicit = message.header(HeaderName::AcceptContact).is_some()
        || message.header(HeaderName::RejectContact).is_some();
    let ranked = candidates.iter().filter_map(|candidate| {
        let is_immune = Feature::all(candidate.params).next().is_none();
        let qa = match (is_immune, is_explicit) {
            (true, _) => Some(WHOLE),
            (false, true) => explicit_preference(message, candidate.params),
            (false, false) => implicit_preference(message, candidate.params),
        };
        Some(((candidate.q_millis, qa?), candidate))
    });
    let mut ranked: SmallVec<[_; BINDINGS_PER_IDENTITY_MAX]> = ranked.collect();
    if ranked.is_empty() && !is_explicit {
        // They will answer 405 or 489 themselves, which tells the caller more than 480 does.
        ranked = candidates.iter().map(|it| ((it.q_millis, WHOLE), it)).collect();
    }
    ranked.sort_unstable_by_key(|(rank, candidate)| Reverse((*rank, candidate.order)));
    let highest = ranked.first().map(|(rank, _)| *rank);
    let mut targets = Targets::new();
    for (rank, candidate) in &ranked {
        let is_same = |target: &&mut Target| {
            candidate.instance.is_some() && target.instance == candidate.instance
        };
        match targets.iter_mut().find(is_same) {
            Some(target) => target.others.push(candidate.id),
            None if Some(*rank) == highest => targets.push(Target {
                binding: candidate.id,
                others: Flows::new(),
                instance: candidate.instance,
            }),
            None => {}
        }
    }
    targets
}

/// How well a contact is what Accept-Contact asks for (Qa), in millionths. `None`: it is not to be called.
fn explicit_preference(message: &Message<'_>, contact: Params<'_>) -> Option<u32> {
    let preferences = |name| message.contact_preferences(name).filter_map(Result::ok);
    let is_rejected = |rejected: ContactPreference<'_>| {
        let agreement = Agreement::of(rejected.features(), contact);
        agreement.matches && agreement.declared == agreement.terms
    };
    if preferences(HeaderName::RejectContact).any(is_rejected) {
        return None;
    }
    let (mut sum, mut count, mut is_asked) = (0, 0, false);
    for accepted in preferences(HeaderName::AcceptContact) {
        is_asked = true;
        let agreement = Agreement::of(accepted.features(), contact);
        let score = agreement.score();
        match (agreement.matches, accepted.require) {
            (false, true) => return None,
            (false, false) => continue,
            (true, true) if accepted.explicit && score < WHOLE => return None,
            (true, false) if accepted.explicit && score < WHOLE => {}
            (true, _) => sum += score,
        }
        count += 1;
    }
    // RFC 3841 doesn't say what the average of nothing is: all are alike where nothing is asked for, and none is as good as one
    // that matches where something is.
    Some(match (is_asked, count) {
        (false, _) => WHOLE,
        (true, 0) => 0,
        (true, count) => sum / count,
    })
}

/// As [`explicit_preference`], by what the request itself implies: its method and, where it subscribes, its event package (RFC 3841
/// clause 7.2.2).
fn implicit_preference(message: &Message<'_>, contact: Params<'_>) -> Option<u32> {
    let subscribes = message.method() == Method::Subscribe
        && message.tag(HeaderName::To).is_ok_and(|tag| tag.is_none());
    let event = message.event().ok().flatten().filter(|_| subscribes);
    let method = Feature::of_param(b"methods", Some(message.method_text()));
    let event = event.and_then(|event| Feature::of_param(b"events", Some(event.package)));
    let agreement = Agreement::of(method.into_iter().chain(event), contact);
    agreement.matches.then(|| agreement.score())
}

/// How a contact compares with the terms of one preference.
struct Agreement {
    /// Terms of the preference.
    terms: u32,
    /// Those whose feature the contact says anything about.
    declared: u32,
    /// Nothing that the contact says is against it.
    matches: bool,
}

impl Agreement {
    fn of<'b>(terms: impl Iterator<Item = Feature<'b>>, contact: Params<'_>) -> Self {
        let mut found = Self { terms: 0, declared: 0, matches: true };
        for term in terms {
            found.terms += 1;
            if let Some(said) = Feature::all(contact).find(|said| said.tag.same(&term.tag)) {
                found.declared += 1;
                found.matches &= said.meets(&term);
            }
        }
        found
    }

    /// In millionths.
    fn score(&self) -> u32 {
        match self.terms {
            0 => WHOLE,
            terms => (u64::from(self.declared) * u64::from(WHOLE) / u64::from(terms)) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use imstorm_sip::{Index, parse};

    use super::*;

    /// The contacts of RFC 3841 clause 7.2.5, `u1` first.
    const CONTACTS: [(&str, u16); 5] = [
        (";audio;video;methods=\"INVITE,BYE\"", 200),
        (";audio=\"FALSE\";methods=\"INVITE\";actor=\"msg-taker\"", 200),
        (";audio;actor=\"msg-taker\";methods=\"INVITE\";video", 300),
        (";audio;methods=\"INVITE,OPTIONS\"", 200),
        (";q=0.5", 500),
    ];

    const PREFERENCES: &str = "Reject-Contact: *;actor=\"msg-taker\";video\r\n\
        Accept-Contact: *;audio;require\r\nAccept-Contact: *;video;explicit\r\n\
        Accept-Contact: *;methods=\"BYE\";class=\"business\";q=1.0\r\n";

    fn with<T>(method: &str, lines: &str, f: impl FnOnce(&Message<'_>) -> T) -> T {
        let text = format!(
            "{method} sip:user@example.com SIP/2.0\r\nTo: <sip:user@example.com>\r\n{lines}\r\n"
        );
        let mut index = Index::default();
        f(&parse(text.as_bytes(), &mut index).unwrap())
    }

    /// Which of `contacts` are called, by number from 1.
    fn called(contacts: &[(&str, u16)], method: &str, lines: &str) -> Vec<u32> {
        let candidates = contacts.iter().zip(1..).map(|((params, q_millis), number)| Candidate {
            id: Key::new(number, 1),
            q_millis: *q_millis,
            order: u64::from(number),
            params: Params(params.as_bytes()),
            instance: None,
        });
        let candidates: Vec<_> = candidates.collect();
        with(method, lines, |message| {
            best(&candidates, message).iter().map(|target| target.binding.index).collect()
        })
    }

    /// RFC 3841 clause 7.2.5's example.
    #[test]
    fn the_rfcs_example() {
        let qa = |number: usize| {
            with("INVITE", PREFERENCES, |message| {
                explicit_preference(message, Params(CONTACTS[number - 1].0.as_bytes()))
            })
        };
        assert_eq!([1, 2, 3, 4].map(qa), [Some(2_500_000 / 3), None, None, Some(500_000)]);
        assert_eq!(called(&CONTACTS, "INVITE", PREFERENCES), [5]);
        assert_eq!(called(&CONTACTS[..4], "INVITE", PREFERENCES), [1]);
        assert_eq!(called(&CONTACTS[1..4], "INVITE", PREFERENCES), [3]);
    }

    #[test]
    fn equals_are_called_together_the_newest_first() {
        let contacts = [(";audio", 500), (";audio", 500), (";video", 400), ("", 500)];
        assert_eq!(called(&contacts, "INVITE", "Accept-Contact: *;audio\r\n"), [4, 2, 1]);
        assert_eq!(called(&contacts, "INVITE", "Reject-Contact: *;audio\r\n"), [4]);
        assert_eq!(called(&contacts[..3], "INVITE", "Reject-Contact: *;audio\r\n"), [3]);
    }

    #[test]
    fn of_an_instances_flows_one_is_called_and_those_behind_it_are_what_may_be_called() {
        let flow = |number, params: &'static str, instance| Candidate {
            id: Key::new(number, 1),
            q_millis: 500,
            order: u64::from(number),
            params: Params(params.as_bytes()),
            instance,
        };
        let flows = [
            flow(1, ";audio", Some((UserId(1), 7))),
            flow(2, ";audio", Some((UserId(1), 8))),
            flow(3, ";audio", Some((UserId(1), 7))),
            flow(4, ";video", Some((UserId(1), 7))),
            flow(5, ";audio", None),
            flow(6, ";audio", None),
        ];
        let called = |lines: &str| {
            with("INVITE", lines, |message| {
                let index = |key: &Key| key.index;
                let found = best(&flows, message);
                let each = found.iter();
                each.map(|it| (it.binding.index, it.others.iter().map(index).collect())).collect()
            })
        };
        let expected: [(u32, Vec<u32>); 4] =
            [(6, vec![]), (5, vec![]), (4, vec![3, 1]), (2, vec![])];
        let found: Vec<(u32, Vec<u32>)> = called("");
        assert_eq!(found, expected);
        assert_eq!(called("Accept-Contact: *;video;require;explicit\r\n"), [(4, vec![])]);
        // The ones that are less than the best come behind it all the same.
        let found = called("Accept-Contact: *;audio;explicit\r\n");
        assert_eq!(found[2], (3, vec![1, 4]));
    }

    #[test]
    fn what_is_asked_explicitly_may_leave_nobody() {
        let contacts = [(";audio", 500), (";class=\"business\"", 500)];
        let lines = "Accept-Contact: *;video;require;explicit\r\n";
        assert!(called(&contacts, "INVITE", lines).is_empty());
        // Who doesn't say is not against it.
        assert_eq!(called(&contacts, "INVITE", "Accept-Contact: *;video;require\r\n"), [2, 1]);
        let lines = "Accept-Contact: *;class=\"personal\"\r\n";
        assert_eq!(called(&contacts, "INVITE", lines), [2, 1]);
        let lines = "Accept-Contact: *;audio;class=\"business\"\r\n";
        assert_eq!(called(&contacts, "INVITE", lines), [2, 1]);
        let lines = "Accept-Contact: *;audio;class=\"business\";explicit\r\n";
        assert_eq!(called(&contacts, "INVITE", lines), [2, 1]);
        assert!(called(&contacts, "INVITE", "Reject-Contact: *\r\n").is_empty());
    }

    #[test]
    fn a_method_implies_a_contact_that_has_it() {
        let contacts = [(";methods=\"INVITE\"", 900), (";methods=\"INVITE,MESSAGE\"", 100)];
        assert_eq!(called(&contacts, "MESSAGE", ""), [2]);
        assert_eq!(called(&contacts, "INVITE", ""), [1]);
        assert_eq!(called(&contacts, "OPTIONS", ""), [1], "who will say so himself");
        assert_eq!(called(&contacts, "OPTIONS", "Accept-Contact: *\r\n"), [1]);
        let contacts = [(";events=\"presence\"", 900), (";events=\"!presence\"", 100)];
        assert_eq!(called(&contacts, "SUBSCRIBE", "Event: reg\r\n"), [2]);
        assert_eq!(called(&contacts, "MESSAGE", "Event: reg\r\n"), [1]);
    }

    #[test]
    fn a_preference_that_can_not_be_read_is_seen() {
        for line in ["Accept-Contact: audio\r\n", "Reject-Contact: *;+x=\"#4\"\r\n"] {
            assert!(!with("INVITE", line, can_read_preferences), "{line}");
        }
        assert!(with("INVITE", PREFERENCES, can_read_preferences));
    }
}
