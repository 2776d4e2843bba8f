//! What the engine counts. One table: each row is a field, and its name in `/v1/status`.

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// One shard's counters. Written by that shard alone; the control plane reads a published copy.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Counts a message between a UE and its P-CSCF, whose datagram has so many bytes.
            pub fn count_gm(&mut self, bytes: usize) {
                self.gm_messages += 1;
                self.gm_bytes += bytes as u64;
            }

            /// Counts a message between two roles that has so many bytes.
            pub fn count_mw(&mut self, bytes: usize) {
                self.mw_messages += 1;
                self.mw_bytes += bytes as u64;
            }

            /// How many counters there are.
            pub const COUNT: usize = [$(stringify!($name)),*].len();
            /// Their names, in the order of [`Counters::values`].
            pub const NAMES: [&'static str; Self::COUNT] = [$(stringify!($name)),*];

            /// What each counts, in the same order.
            pub const MEANINGS: [&'static str; Self::COUNT] = [$(concat!($($doc),*)),*];

            /// Their values.
            #[must_use]
            pub fn values(&self) -> [u64; Self::COUNT] {
                [$(self.$name),*]
            }
        }
    };
}

counters! {
    /// SIP messages that the roles were given: from UEs, from Mw, and from each other in memory.
    messages_in,
    /// SIP messages that the roles sent.
    messages_out,
    /// SIP messages at Gm: from UEs and to UEs at the P-CSCF, unprotected or in ESP.
    gm_messages,
    /// Their bytes, as UDP carries them.
    gm_bytes,
    /// SIP messages at Mw, in memory or as datagrams. Each is counted by the process that sends it.
    mw_messages,
    /// Their bytes.
    mw_bytes,
    /// Datagrams that came on any socket.
    datagrams_in,
    /// Datagrams that were handed to the sockets.
    datagrams_out,
    /// First messages handed to the shard that owns their user.
    shard_hops,
    /// Datagrams for which the outbox had no room; the sender's timer repeats them.
    outbox_full,
    /// Messages for which a queue between roles or shards had no room.
    queue_full,

    /// Datagrams that are no SIP message (RFC 3261 clause 7).
    malformed,
    /// Requests with a missing or wrong mandatory header (RFC 3261 clause 8.1.1).
    bad_request,
    /// Requests on the unprotected port that only a security association may carry.
    unprotected_refused,
    /// 403: requests without protection that belong to no registration, where such ones are taken (`access_security = "none"`).
    unregistered_refused,
    /// Requests on the unprotected port with more than one Via.
    unprotected_via,
    /// Datagrams on a Mw port from an address that is no configured peer.
    mw_untrusted,
    /// Responses that match no transaction.
    stray_response,
    /// Requests whose hops ran out (RFC 3261 clause 16.3).
    too_many_hops,

    /// ESP packets that were refused, for any of the reasons below.
    esp_rejected,
    /// ESP packets with an SPI that no security association has.
    esp_unknown_spi,
    /// ESP packets too short or of an impossible length.
    esp_malformed,
    /// ESP packets whose sequence number came before, or lies behind the window (RFC 4303 clause 3.4.3).
    esp_replayed,
    /// ESP packets whose integrity check failed.
    esp_integrity_failed,
    /// ESP packets whose inner addresses, ports or protocol are not the security association's.
    esp_selector_mismatch,
    /// Messages that could not be sealed.
    esp_seal_failed,

    /// 421: the UE did not ask for the security agreement (RFC 3329 clause 2.3.1).
    sec_agree_missing,
    /// 494: no proposal that the P-CSCF can accept.
    sec_agree_unacceptable,
    /// 494: Security-Verify or Security-Client differs from what was agreed: somebody may be bidding down.
    sec_agree_altered,
    /// 403: a request on the security associations of a challenge that are only for its answer.
    wrong_association,
    /// 403: the private identity in Authorization is not the one of the security association.
    wrong_private_identity,
    /// 403 or 481: a request in a dialog that is not this connection's.
    wrong_dialog,
    /// 403: the public identity is none of this private identity's, or the private one is unknown.
    identity_refused,
    /// P-Asserted-Identity from a UE, which only the network may write, was removed (RFC 3325 clause 5).
    asserted_identity_removed,
    /// `integrity-protected` from a UE was overwritten (TS 33.203 clause 7.2A.2).
    integrity_protected_overwritten,
    /// A preferred identity that is not authorised was replaced by the default one.
    identity_substituted,
    /// 403: a Route or Request-URI that is not the connection's own way into the core.
    wrong_route,
    /// Requests that waited for the UE's identities.
    requests_held,
    /// 503: the UE's identities did not come in time.
    identities_unknown,
    /// IK and CK that were taken out of a challenge before it went to the UE (TS 24.229 clause 5.2.2).
    keys_withheld,
    /// Requests from which the headers of the security agreement were taken out before they left for the core (RFC 3329).
    agreement_withheld,
    /// First requests that are older than the set-up that is under way under their names: dropped.
    setups_stale,
    /// A 401 without keys, or with ones that can't be read, was not passed on as protected.
    keys_missing,

    /// Challenges sent.
    challenges,
    /// Challenges that nobody answered in time.
    challenges_expired,
    /// 403: the response to a challenge was wrong.
    authentication_failed,
    /// 401 stale: the nonce is not the one that is in force.
    stale_nonce,
    /// Requests for resynchronisation of the sequence number that were followed.
    resynchronised,
    /// AUTS that was not made with the user's key.
    resynchronisation_refused,

    /// Security set-ups begun at the P-CSCF.
    setups_begun,
    /// Security set-ups given up at the P-CSCF because they were not finished in time.
    setups_expired,
    /// Security set-ups that made room for newer ones of the same user and address.
    setups_evicted,
    /// Sets of security associations that went because their private identity made a set from another address (`sa_policy = "impi"`).
    sa_sets_overridden,
    /// Secure connections made.
    connections_made,
    /// Secure connections ended.
    connections_ended,
    /// Secure connections whose lifetime ran out.
    connections_expired,
    /// 503 or 486: a connection has too many requests under way, or too many sessions.
    too_many_pending,
    /// 513: a message that does not fit with what has to be added to it.
    message_too_large,
    /// 420: a required extension that is not known.
    bad_extension,
    /// 503: a table has no room.
    table_full,

    /// Subscriptions of UEs that were made.
    subscriptions_made,
    /// Subscriptions that were refreshed.
    subscriptions_refreshed,
    /// Refreshes that came with the answer to a challenge.
    reauthenticated,
    /// Connections whose lifetime the network lowered.
    lifetimes_lowered,
    /// Changes of a user's identities.
    identities_changed,
    /// AKA challenges whose MAC the USIM found wrong (RFC 3310 clause 3.4).
    mac_failures,
    /// Secure connections that a registration with AKA made.
    aka_registrations_made,
    /// Registrations with AKA that were prolonged.
    aka_registrations_refreshed,
    /// Registrations with AKA that ended because their user registered anew, from another address or another P-CSCF.
    aka_registrations_overridden,
    /// 403: a modified private identity more than a user may have in use.
    modified_impis_refused,
    /// 439: the UE's first hop can't keep the flow that it asked for (RFC 5626 clause 6).
    outbound_lacking,
    /// 403: a flow more than a user may have.
    flows_refused,
    /// 403: a REGISTER over the connection of one flow that names another, or none.
    flow_changed,
    /// Requests that went to another flow of the same instance, since one had failed (RFC 5626 clause 7).
    flows_failed_over,
    /// Registrations that were checked since their user registered elsewhere.
    connectivity_checks,
    /// Checked registrations whose UE answered.
    connectivity_alive,
    /// Checked registrations whose UE did not answer, or was not known any more: they ended.
    connectivity_dead,
    /// Answers to a check that came from elsewhere than the P-CSCF that was asked: ignored.
    connectivity_astray,
    /// Registrations with AKA that are over, for whatever reason.
    aka_registrations_ended,
    /// Bindings that were made.
    registrations_made,
    /// Bindings that were refreshed.
    registrations_refreshed,
    /// Bindings that ended, for whatever reason.
    registrations_ended,
    /// Bindings whose lifetime ran out.
    registrations_expired,
    /// 403: a REGISTER for a contact that is not the connection's.
    contact_refused,
    /// Connections that ended because they made no binding in time.
    unbound_ended,
    /// Connections that ended because their P-CSCF had no subscription to them any more, or made none in time.
    unwatched_ended,
    /// Subscriptions to registrations that were made.
    reg_subscriptions_made,
    /// Subscriptions to registrations that ended.
    reg_subscriptions_ended,
    /// INVITEs that began a session, at each S-CSCF and for each contact.
    calls_begun,
    /// INVITEs that went to several contacts.
    calls_forked,
    /// INVITEs that an S-CSCF cancelled, for a CANCEL or by itself.
    calls_cancelled,
    /// Sessions that were accepted, at each S-CSCF that serves a party.
    sessions_made,
    /// Sessions that went over to another connection of their user.
    sessions_moved,
    /// Sessions that the network ended, early ones included.
    sessions_released,
    /// Sessions of which nothing was heard in time.
    sessions_expired,
    /// Accepted sessions that are over, for whatever reason.
    sessions_ended,
    /// 403: a request in a session of another user, or by a connection that the session does not run over.
    session_refused,
    /// Acceptances of calls that nobody waited for any more: acknowledged, and ended by BYE.
    acceptances_refused,
    /// 491 or 500: an INVITE while another one is under way in the session.
    invite_glare,
    /// Subscriptions that went over from one secure connection of their user to another.
    subscriptions_moved,
    /// Secure connections that ended because another one of their user replaced them.
    connections_replaced,
    /// A Replaces that can't be read, stands where none may, or names no dialog that its sender may replace now.
    replaces_refused,
    /// Standalone requests that were passed on, at each S-CSCF that they passed.
    standalone_passed,
    /// 404: requests for somebody who is not known here.
    not_found,
    /// 480: requests for an identity or GRUU that nothing is bound to.
    not_registered,
    /// Subscriptions that were ended.
    subscriptions_ended,
    /// 489: an event package that is not served.
    event_refused,
    /// 423: the asked lifetime is below the least one.
    interval_too_brief,
    /// 481: a request in a dialog that does not exist.
    dialog_unknown,
    /// 403: somebody who is not the UE's P-CSCF asked for its subscription.
    watcher_refused,
    /// Requests by which the P-CSCF asked for its own subscription that failed.
    own_subscription_failed,
    /// NOTIFYs that ended without a 2xx.
    notify_failed,
    /// NOTIFYs that were refused for now, or for which there was no room: the subscriber is told again later.
    notify_put_off,

    /// Requests of UEs that came again.
    retransmissions_in,
    /// Requests to UEs or over Mw that were sent again.
    retransmissions_out,
    /// Transactions that ended by Timer F, or by Timer B or C.
    transactions_timed_out,

    /// INVITEs for which the P-CSCF sent CANCEL: their senders did, or Timer C fired.
    invites_cancelled,
    /// 481: a CANCEL of no INVITE that is known (RFC 3261 clause 9.2).
    cancels_unknown,
    /// ACKs that belong to nothing, or go a way that is not their connection's: dropped, since nobody answers an ACK.
    acks_astray,
    /// Failures of INVITEs that nobody acknowledged until Timer H.
    acks_missing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_have_one_order() {
        let counters = Counters { malformed: 3, ..Counters::default() };
        let at = Counters::NAMES.iter().position(|name| *name == "malformed").unwrap();
        assert_eq!(counters.values()[at], 3);
        assert_eq!(counters.values().iter().sum::<u64>(), 3);
    }
}
