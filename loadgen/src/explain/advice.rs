//! What each cause of a failure means, and what to look at.

use crate::measure::Cause;

/// What is to be known of a cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The same in a few words.
    pub title: String,
    /// What has happened, as the UE saw it.
    pub meaning: String,
    /// Where the rule stands that was applied.
    pub clause: &'static str,
    /// Where it usually comes from and what to look at, the most likely first.
    pub checks: Vec<&'static str>,
}

impl Advice {
    /// The advice on a cause.
    #[must_use]
    pub fn on(cause: Cause) -> Self {
        if let Cause::StatusOther(status) = cause {
            return of_status(status);
        }
        let (title, meaning, clause, checks) = of_cause(cause);
        Self {
            title: title.to_owned(),
            meaning: meaning.to_owned(),
            clause,
            checks: checks.to_vec(),
        }
    }
}

/// Title, meaning, clause, checks.
type CauseRow = (&'static str, &'static str, &'static str, &'static [&'static str]);
/// What the status says, clause, checks.
type StatusRow = (&'static str, &'static str, &'static [&'static str]);

fn of_cause(cause: Cause) -> CauseRow {
    match cause {
        Cause::Timeout => (
            "a request was never answered",
            "A request was sent again and again, and no final response came until Timer F (Timer B for an INVITE): 64 times T1, which is 128 s between UE and P-CSCF unless ue.t1_ms says otherwise. A 408 to an INVITE counts here, too.",
            "RFC 3261 clauses 17.1.1.2 and 17.1.2.2; TS 24.229 table 7.8",
            &[
                "Did anything come back at all? In the ladder, no message of the core means that it is not there, that a firewall or a wrong route is in between, or that its answers go to another address than the UE's.",
                "Did answers stop under load? Then the core was full: see where in time the failures are, and what share of a core it used; find its limit with: imstorm capacity PROFILE",
                "Were datagrams lost on the way? `socket drops` in the result are the generator's; of the core look at: ss -lunm, and nstat -az UdpRcvbufErrors",
                "Was it an ESP packet that got no answer? The P-CSCF drops what it can't open without a word: look at esp_unknown_spi and esp_integrity_failed in: imstorm-engine ctl stats",
            ],
        ),
        Cause::NoNotify => (
            "the NOTIFY after a 2xx did not come",
            "The SUBSCRIBE was answered with a 2xx, or the operator's call was followed, and the NOTIFY that has to follow did not come until Timer N.",
            "RFC 6665 clause 4.1.2.4",
            &[
                "Did the S-CSCF send it? If its log or counters say so, the P-CSCF did not pass it on: it may know no connection, or no security association to send it through.",
                "Is the UE's port for protected requests (port_us) reachable? A NOTIFY comes to that one, responses go to the other: a NAT or firewall may let only answers through.",
                "Does the core serve the `security` event package at all? If it answers 200 to any SUBSCRIBE, run against it with UEs that register: --set ue.access=registration",
            ],
        ),
        Cause::Forbidden403 => (
            "refused with 403",
            "The core has refused with 403.",
            "RFC 3261 clause 21.4.4; TS 24.229 clauses 5.2.6 and 5.4.1.2",
            &[
                "In the answer to a challenge: the response was wrong. The core's K and OPc are not the profile's: population.seed, or the keys in population.subscribers, must be the same on both sides.",
                "In a request over the connection: an identity that is not the subscriber's, a contact or route that is not the connection's. Compare P-Preferred-Identity, Contact and Route in the ladder.",
                "The engine says which: identity_refused, authentication_failed, contact_refused, wrong_route, flows_refused in: imstorm-engine ctl stats",
            ],
        ),
        Cause::Security494 => (
            "no agreement on security (494, 421)",
            "UE and P-CSCF did not agree on how to protect: 494 or 421.",
            "RFC 3329 clause 2.3; TS 33.203 clause 7",
            &[
                "421, or 494 to the first request: the P-CSCF takes none of the offered algorithms. Compare Security-Client in the ladder with what the core is configured for; change security.algorithms in the profile.",
                "494 later: Security-Verify or Security-Client is not what was agreed, as after a bidding-down attack; something between UE and P-CSCF changes headers, or the P-CSCF has forgotten the agreement.",
            ],
        ),
        Cause::MacFailure => (
            "the network does not know the subscriber's key",
            "The network's MAC in AUTN is wrong: whoever made the challenge does not know the subscriber's key.",
            "TS 33.102 clause 6.3.3; RFC 3310 clause 3.3",
            &[
                "K, OPc or AMF of the subscriber differ between profile and HSS. Derived subscribers need the same population.seed as the core's [subscribers]; else use the same file for both.",
                "OP in place of OPc, or the other way round: the file has a column for each, opc and op.",
            ],
        ),
        Cause::SqnOutOfRange => (
            "the sequence number stayed out of range",
            "The sequence number in AUTN stayed out of range, also after the UE had sent AUTS.",
            "TS 33.102 clauses 6.3.3 and 6.3.5, annex C",
            &[
                "The HSS must follow AUTS and go on from the number in it. Look for a resynchronisation in its log; the engine counts resynchronised and resynchronisation_refused.",
                "Do two HSS, or two runs at one time, use the same subscribers? Each would spoil the other's numbers.",
            ],
        ),
        Cause::BadChallenge => (
            "a challenge that can't be answered",
            "A 401 came that can't be answered: no WWW-Authenticate with a nonce of RAND and AUTN, or one challenge too many.",
            "RFC 3310 clause 3.2; TS 24.229 clause 5.1.1.5",
            &[
                "Look at WWW-Authenticate in the deciding message: the algorithm must be AKAv1-MD5, and the nonce base64 of 32 bytes or more. A core that challenges with plain MD5 has no AKA for this subscriber.",
                "A challenge to a request that answered one: the core did not accept the response, or lost the state in between (an answer that reached another instance).",
            ],
        ),
        Cause::CredentialsWanted => (
            "credentials were wanted, and the UEs have none",
            "The core wants credentials (401 or 407), and the profile's UEs have none to give.",
            "RFC 3261 clause 22",
            &[
                "The profile has ue.access_security = \"none\" or ue.shared_address: configure the core to trust these addresses, or let UEs authenticate: ue.access_security = \"ipsec-3gpp\", ue.access = \"registration\".",
            ],
        ),
        Cause::BadSecurityServer => (
            "Security-Server is missing or does not fit",
            "Security-Server in the 401 is missing, can't be read, or offers nothing that the UE has offered.",
            "RFC 3329 clause 2.3.1; TS 33.203 annex H",
            &[
                "Compare Security-Client and Security-Server in the ladder: mechanism ipsec-3gpp, the same alg and ealg, mod=UDP-enc-tun; and four ports and SPIs that differ.",
                "Without Security-Server the answer came from a core that does not know the agreement, or a proxy took it out.",
            ],
        ),
        Cause::TerminatedByNetwork => (
            "the network ended the subscription",
            "The network ended the subscription while the UE was about something else.",
            "RFC 6665 clause 4.1.3; TS 24.229 clause 5.4.1.5",
            &[
                "Look at reason in Subscription-State of the last NOTIFY: `rejected` and `deactivated` are an operator's, `timeout` a lifetime that ran out.",
                "Two UEs with the same identity end each other's connection: is another run, or part of one, at work against this core?",
            ],
        ),
        Cause::Transport => (
            "the UE could not send",
            "The UE could not send: no room for the datagram, no route, or a message that does not fit. It never left.",
            "RFC 3261 clause 18.4",
            &[
                "This is the generator's own. Look at the reasons for INVALID and at `generator` in the result; a smaller load, or several generators (--part), make room.",
                "Is there a route to the target from the UEs' addresses? ip route get TARGET from UE-ADDRESS",
            ],
        ),
        Cause::Parse => (
            "an answer lacks what it must have",
            "A response or NOTIFY lacks what it must have, or can't be read.",
            "RFC 3261 clauses 8.1.1 and 12.1.2; RFC 6665 clause 4.1.2",
            &[
                "Look at the deciding message: a 2xx that makes a dialog needs Contact, To with a tag, and Expires where a subscription was asked for.",
                "Is it cut off? A datagram above the path's MTU, or above 4 KiB, may have been.",
            ],
        ),
        Cause::NotBound => (
            "the 200 to REGISTER lacks the contact",
            "The 200 to REGISTER does not list the contact that was registered.",
            "RFC 3261 clause 10.3 step 8",
            &[
                "Compare Contact in the REGISTER and in its 200. A proxy or session border controller in between may have written its own address.",
                "The registrar has another contact only: it may have taken the REGISTER for one of another user, or bound nothing.",
            ],
        ),
        Cause::Operator => (
            "a command to the core's control plane failed",
            "A command to the core's control plane was refused or not answered. It is no message of a UE.",
            "the control plane of imstorm-engine, see its `ctl` command",
            &[
                "Does --admin name the control plane of the same core, and does it answer? imstorm-engine ctl stats --admin URL",
                "404 or 409 in its log: the subscriber is not there, or has the identity already, from a run before: start the engine anew.",
            ],
        ),
        Cause::NotChallenged => (
            "a refresh was not challenged that had to be",
            "A refresh that the network had to challenge was let pass with 200.",
            "TS 24.229 clauses 5.4.1.2.2 and 5.4.1.6",
            &[
                "The S-CSCF lets a refresh without credentials pass because it is integrity-protected. For a core that may do that leave procedures.reauthenticate out.",
            ],
        ),
        Cause::Lifetime => (
            "the lifetime was not restored",
            "After the re-authentication the lifetime was not the full one again.",
            "TS 24.229 clause 5.4.1.6",
            &[
                "Look at Expires of the 200 and at `expires` in Subscription-State of the NOTIFY behind it: the core may still give the lowered one, or the NOTIFY was sent before the refresh.",
            ],
        ),
        Cause::Busy => (
            "the callee had as many sessions as it takes",
            "The callee had as many sessions as it takes: 486 or 600.",
            "RFC 3261 clauses 21.4.24 and 21.6.1",
            &[
                "More calls are offered than the UEs have room for: sessions at one time = rate × holding time, see: imstorm plan PROFILE. Make the population larger, or procedures.call.holding_s shorter.",
            ],
        ),
        Cause::NoAnswer => (
            "the callee was not to be had",
            "The callee was not to be had: 480, or nobody answered in time.",
            "RFC 3261 clause 21.4.18",
            &[
                "Nothing was bound to the identity at that moment: the callee was not registered yet, or not any more. Let more UEs register before calls begin (traffic.bring_up, procedures.call.after_s).",
                "Does the INVITE reach the callee? Look for it at the callee's ladder: run again with --capture CALLER,CALLEE",
            ],
        ),
        Cause::NoAssociation => (
            "no security association to send through",
            "The UE had no security association to send the request through.",
            "TS 33.203 clause 7.4",
            &[
                "Its connection had ended before: look at what was before in the ladder, a terminating NOTIFY or a lifetime that ran out.",
                "Refreshes that come too late end a connection: look for failures of `refresh` before this one.",
            ],
        ),
        Cause::ConnectionLost => (
            "the connection was gone first",
            "The secure connection that it ran over was gone first.",
            "TS 24.229 clause 5.1.1.7",
            &[
                "What ended the connection? Look for the first failure of the same UE, or a NOTIFY with Subscription-State: terminated.",
                "In a handover the old access goes when the profile says so (procedures.handover.old_access): what had not been moved by then is lost.",
            ],
        ),
        Cause::StatusOther(_) => unreachable!("a status has its own row"),
    }
}

/// What a status says that is no cause of its own.
fn of_status(status: u16) -> Advice {
    let (what, clause, checks) = of_status_row(status);
    let (title, meaning) = match what {
        "" => {
            (format!("answered {status}"), format!("The core has answered with status {status}."))
        }
        what => (format!("{status}: {what}"), format!("The core has answered {status}: {what}.")),
    };
    Advice { title, meaning, clause, checks: checks.to_vec() }
}

fn of_status_row(status: u16) -> StatusRow {
    const LOOK: &str = "Look at the deciding message: Reason, Warning and the reason phrase often say more than the number.";
    match status {
        300..=399 => (
            "a redirection, which UEs don't follow",
            "RFC 3261 clause 21.3",
            &[
                "Does the core send UEs to another P-CSCF or registrar? Name that one with --target.",
                LOOK,
            ],
        ),
        400 => (
            "the request is malformed to the core",
            "RFC 3261 clause 21.4.1",
            &[
                LOOK,
                "Compare the request, header by header, with one that the core takes from a real UE; a request that the core should take is a bug of imstorm's.",
            ],
        ),
        404 | 604 => (
            "nobody is known by this identity",
            "RFC 3261 clauses 21.4.5 and 21.6.3",
            &[
                "The core's subscribers are not the profile's: population.domain, population.size, population.seed, or the file in population.subscribers.",
                "Is it the Request-URI's domain that is not the core's own? It must be population.domain.",
            ],
        ),
        405 | 501 => (
            "the method is not supported there",
            "RFC 3261 clauses 21.4.6 and 21.5.2",
            &["Allow in the answer says what is. Leave out the procedure that uses this method."],
        ),
        420 => (
            "an extension that is required is not supported: Unsupported names it",
            "RFC 3261 clause 21.4.15",
            &[
                "`secevt`: the core does not know secure connections by subscription. Let UEs fall back (ue.fallback_s), or register: --set ue.access=registration",
            ],
        ),
        423 => (
            "the lifetime that was asked for is too short",
            "RFC 3261 clause 21.4.17; RFC 6665 clause 4.2.1.1",
            &[
                "Min-Expires in the answer says what is long enough: set procedures.refresh.expires_s to that.",
            ],
        ),
        430 => (
            "the flow to the UE has failed",
            "RFC 5626 clauses 5.3.1 and 11.5",
            &[
                "The UE's connection ended and its registration stood: look for what ended it, and at connections_expired in: imstorm-engine ctl stats",
            ],
        ),
        439 => (
            "the first hop does not support outbound",
            "RFC 5626 clause 6",
            &[
                "Switch outbound on at the P-CSCF ([[pcscf]] outbound), or use a scheme without flows.",
            ],
        ),
        481 => (
            "the dialog or transaction does not exist there",
            "RFC 3261 clause 12.2.2; RFC 6665 clause 4.1.2.2",
            &[
                "The core has ended it, or has lost it: was it started anew, or did its lifetime run out? Look for what came before in the ladder.",
                "Does another instance of the core answer than the one that made the dialog? Then Record-Route or Contact lead to the wrong one.",
            ],
        ),
        482 | 483 => (
            "the request ran in a loop",
            "RFC 3261 clauses 21.4.20 and 21.4.21",
            &[
                "The core's routing sends it to itself: look at its Via headers there, and whether population.domain is one that it serves itself.",
            ],
        ),
        487 => (
            "the INVITE was cancelled",
            "RFC 3261 clause 21.4.25",
            &[
                "The caller did not cancel, so the network did: a timer for no answer, or the end of the connection of one of the parties.",
            ],
        ),
        488 | 606 => (
            "the session description was not accepted",
            "RFC 3261 clauses 21.4.26 and 21.6.4",
            &[
                "Look at Warning. The core's policy or media function may refuse the codecs or addresses in the offer.",
            ],
        ),
        489 => (
            "the event package is not served",
            "RFC 6665 clause 8.3.2",
            &[
                "`security`: the core has no secure connections by subscription; `reg`: it does not tell of registrations. Leave the procedure out.",
            ],
        ),
        491 => (
            "a request of the other side was under way",
            "RFC 3261 clause 14.1",
            &[
                "Now and then this is normal. If it is frequent, both sides refresh or move their session at the same time: set one refresher.",
            ],
        ),
        500 | 502 | 504 | 505 | 580 => (
            "an error in the core",
            "RFC 3261 clause 21.5",
            &[
                "Its log at that time says why; the ladder has the Call-ID to look for.",
                "502 and 504: what stands behind it (HSS, S-CSCF, another domain) did not answer it.",
            ],
        ),
        503 => (
            "the core, or a part of it, takes no more",
            "RFC 3261 clause 21.5.4",
            &[
                "Is it only under load? Then this is its limit: find it with imstorm capacity PROFILE. Retry-After says when it would take more.",
                "At no load: a table is sized for fewer UEs than there are, or a peer is down. The engine says which: table_full, too_many_pending, identities_unknown, queue_full in: imstorm-engine ctl stats",
            ],
        ),
        513 => (
            "the message is too large",
            "RFC 3261 clause 21.5.7",
            &[
                "The P-CSCF has no room for what it has to add: shorter identities and routes, or TCP, which imstorm does not do.",
            ],
        ),
        600..=699 => (
            "refused for all of the user's devices",
            "RFC 3261 clause 21.6",
            &[LOOK, "603 to a move of a session: the other party has ended it."],
        ),
        402..=499 => ("", "RFC 3261 clause 21.4", &[LOOK]),
        _ => (
            "",
            "RFC 3261 clause 21",
            &[
                LOOK,
                "The core's log at that time says why; the ladder has the Call-ID to look for.",
            ],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::CAUSES;

    #[test]
    fn every_cause_has_its_own_advice() {
        let mut meanings = std::collections::HashSet::new();
        for (cause, name) in CAUSES {
            let advice = Advice::on(*cause);
            assert!(meanings.insert(advice.meaning.clone()), "{name}");
            assert!(advice.title.len() < 60 && !advice.title.ends_with('.'), "{name}");
            assert!(advice.meaning.ends_with('.') && !advice.clause.is_empty(), "{name}");
            assert!(!advice.checks.is_empty() && advice.checks.len() <= 4, "{name}");
        }
    }

    #[test]
    fn every_status_has_advice_that_names_it() {
        for status in 300..=699 {
            let advice = Advice::on(Cause::StatusOther(status));
            assert!(advice.meaning.contains(&status.to_string()), "{status}");
            assert!(!advice.checks.is_empty() && advice.clause.contains("RFC"), "{status}");
        }
        assert!(Advice::on(Cause::StatusOther(503)).checks[1].contains("table_full"));
    }
}
