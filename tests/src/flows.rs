//! The good flows, for tests that need a UE in some state.

use std::net::IpAddr;

use crate::message::Text;
use crate::ue::{Credentials, ScriptedUe};
use crate::world::World;

impl World {
    /// The first SUBSCRIBE and its challenge: the UE has a temporary set.
    ///
    /// # Panics
    /// Where anything but a 401 that the UE can answer comes.
    pub fn begin(&mut self, ue: &mut ScriptedUe) -> Text {
        let first = ue.first(Credentials::Name);
        self.plain(ue, &first);
        let arrived = self.take_one(ue);
        assert_eq!((arrived.set, arrived.message.status()), (None, 401), "{}", arrived.message);
        ue.challenge(&arrived.message).expect("a challenge that the USIM accepts");
        arrived.message
    }

    /// The whole set-up. The 200 and the NOTIFY.
    ///
    /// # Panics
    /// Where anything else comes.
    pub fn secure(&mut self, ue: &mut ScriptedUe) -> (Text, Text) {
        self.begin(ue);
        self.finish(ue)
    }

    /// A further access of a user, from this address through the P-CSCF with this place, secured.
    ///
    /// # Panics
    /// Where it is not secured.
    pub fn further(&mut self, ue: &ScriptedUe, ip: IpAddr, pcscf: usize) -> ScriptedUe {
        let number = ue.impi[2..10].parse().expect("a number");
        let mut second = self.ue_through(number, ip, pcscf);
        second.new_call();
        second.call_id = format!("{ip}-{pcscf}-{}", second.call_id);
        // One USIM: the other access goes on with its numbers.
        second.freshness = ue.freshness.clone();
        self.secure(&mut second);
        second
    }

    /// The set-up from the answer on. The 200 and the NOTIFY.
    ///
    /// # Panics
    /// Where anything else comes.
    pub fn finish(&mut self, ue: &mut ScriptedUe) -> (Text, Text) {
        let answer = ue.answer();
        self.sealed(ue, &answer);
        let (ok, notify) = self.take_ok_and_notify(ue);
        ue.accepted(&ok);
        (ok, notify)
    }

    /// A refresh without a challenge. The 200 and the NOTIFY.
    ///
    /// # Panics
    /// Where anything else comes.
    pub fn refresh(&mut self, ue: &mut ScriptedUe) -> (Text, Text) {
        let refresh = ue.refresh(crate::ue::EXPIRES_S);
        self.sealed(ue, &refresh);
        self.take_ok_and_notify(ue)
    }

    /// The UE's own end. The 200 and the NOTIFY.
    ///
    /// # Panics
    /// Where anything else comes.
    pub fn release(&mut self, ue: &mut ScriptedUe) -> (Text, Text) {
        let release = ue.refresh(0);
        self.sealed(ue, &release);
        self.take_ok_and_notify(ue)
    }

    /// A refresh without credentials is challenged and answered: everything goes on through a new set. The 401, the 200 and the
    /// NOTIFY.
    ///
    /// # Panics
    /// Where anything else comes.
    pub fn reauthenticate(&mut self, ue: &mut ScriptedUe) -> (Text, Text, Text) {
        let refresh = ue.refresh(crate::ue::EXPIRES_S).without("Authorization");
        let challenge = self.ask(ue, &refresh);
        assert_eq!(challenge.status(), 401, "{challenge}");
        ue.challenge(&challenge).expect("a challenge that the USIM accepts");
        let answer = ue.answer_in_dialog();
        self.sealed(ue, &answer);
        let (ok, notify) = self.take_ok_and_notify(ue);
        (challenge, ok, notify)
    }

    /// Registers an identity to the UE's contact. The 200.
    ///
    /// # Panics
    /// Where it is refused, or something else comes too.
    pub fn bind(&mut self, ue: &mut ScriptedUe, impu: &str) -> Text {
        let register = ue.register(impu, 3600);
        let ok = self.ask(ue, &register);
        assert_eq!(ok.status(), 200, "{ok}");
        ok
    }

    /// Subscribes to the registration of an identity, and answers the NOTIFY. The request, the 200 and the NOTIFY.
    ///
    /// # Panics
    /// Where anything else comes.
    pub fn watch(&mut self, ue: &mut ScriptedUe, impu: &str) -> (Text, Text, Text) {
        let watch = ue.watch(impu, 3600);
        self.sealed(ue, &watch);
        let (ok, notify) = self.take_ok_and_notify(ue);
        (watch, ok, notify)
    }

    /// A 200 to a request that came, through the UE's newest set.
    pub fn accept(&mut self, ue: &mut ScriptedUe, request: &Text) {
        let ok = ue.respond(request, 200);
        self.sealed(ue, &ok);
    }

    /// Takes and answers the NOTIFYs of an event package that have come. Whatever else has come is dropped.
    pub fn notifies(&mut self, ue: &mut ScriptedUe, event: &str) -> Vec<Text> {
        let arrived = self.take(ue).into_iter().map(|arrived| arrived.message);
        let is_asked = |text: &Text| {
            text.status() == 0 && text.method() == "NOTIFY" && text.header("Event") == Some(event)
        };
        let found: Vec<Text> = arrived.filter(is_asked).collect();
        for notify in &found {
            self.accept(ue, notify);
        }
        found
    }

    /// The UE's own end, whatever runs over its connection: all NOTIFYs are answered. What came, in order.
    pub fn leave(&mut self, ue: &mut ScriptedUe) -> Vec<Text> {
        let release = ue.refresh(0);
        self.sealed(ue, &release);
        let texts: Vec<Text> = self.take(ue).into_iter().map(|arrived| arrived.message).collect();
        for notify in texts.iter().filter(|text| text.status() == 0) {
            self.accept(ue, notify);
        }
        texts
    }

    /// A protected message is sent and its one answer taken.
    ///
    /// # Panics
    /// Where it is not one answer, through a set.
    pub fn ask(&mut self, ue: &mut ScriptedUe, message: &Text) -> Text {
        self.sealed(ue, message);
        let arrived = self.take_one(ue);
        assert!(arrived.set.is_some(), "an unprotected answer to a protected request");
        arrived.message
    }

    /// An unprotected message is sent and its one answer taken.
    ///
    /// # Panics
    /// Where it is not one answer, unprotected.
    pub fn ask_plain(&mut self, ue: &mut ScriptedUe, message: &Text) -> Text {
        self.plain(ue, message);
        let arrived = self.take_one(ue);
        assert!(arrived.set.is_none(), "a protected answer to an unprotected request");
        arrived.message
    }

    /// A 200 and a NOTIFY come, both through the newest set; the NOTIFY is answered.
    fn take_ok_and_notify(&mut self, ue: &mut ScriptedUe) -> (Text, Text) {
        let newest = ue.sets.len() - 1;
        let mut ok = None;
        let mut notify = None;
        for arrived in self.take(ue) {
            assert_eq!(arrived.set, Some(newest), "through the newest set: {}", arrived.message);
            if arrived.message.method() == "NOTIFY" {
                assert!(notify.is_none(), "a second NOTIFY: {}", arrived.message);
                let answer = ue.respond(&arrived.message, 200);
                self.sealed(ue, &answer);
                notify = Some(arrived.message);
            } else {
                assert_eq!(arrived.message.status(), 200, "{}", arrived.message);
                ok = Some(arrived.message);
            }
        }
        assert!(self.take(ue).is_empty(), "nothing answers a response");
        (ok.expect("a 200"), notify.expect("a NOTIFY"))
    }
}
