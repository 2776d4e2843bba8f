//! Each procedure over a network that loses, doubles and reorders, against the engine.

use imstorm_aka::{Freshness, Sqn};
use imstorm_base::time::{Time, seconds};
use imstorm_cscf::Counters;
use imstorm_cscf::operator::Command;
use imstorm_cscf::scscf::Reason;

use super::*;
use crate::measure::{Tally, Transaction};

/// UEs of a run.
const UES: u64 = 40;
const SEEDS: std::ops::RangeInclusive<u64> = 1..=4;

/// Runs a bare profile with this added, for each seed: nothing fails, nothing is left over, and what was measured goes to `check`.
fn each_seed(more: &str, check: impl Fn(&World<'_>)) {
    each_world(more, |world| {
        let ended = world.run();
        let failures: Vec<_> = world.generator().measurements().failures().iter().collect();
        assert_eq!(failures, []);
        assert_eq!(checks::at_the_end(world, ended), Vec::<String>::new());
        check(world);
    });
}

/// Gives the world of a bare profile with this added to `check`, for each seed.
fn each_world(more: &str, check: impl Fn(&mut World<'_>)) {
    let accesses = if more.contains("[topology]") { "accesses = 2\n" } else { "" };
    let usual = match more.contains("[population]") {
        true => String::new(),
        false => format!("[population]\nsize = {UES}\n{accesses}[arrivals]\nrate_per_s = 20\n"),
    };
    let text = format!(
        "name = \"sample\"\n{usual}\
         [network]\nloss = 0.05\nduplication = 0.05\nreordering = 0.05\n\
         delay_ms = {{ min = 5, max = 40 }}\n{more}"
    );
    let profile = Profile::parse("sample.toml", &text, &[]).unwrap();
    let engine = crate::embedded::config(&profile).unwrap();
    let directory = Arc::new(crate::population::directory(&profile).unwrap());
    for seed in SEEDS {
        let mut world = World::new(&profile, &engine, Arc::clone(&directory), seed, None);
        check(&mut world);
    }
}

fn tally(world: &World<'_>, procedure: Procedure) -> Tally {
    world.generator().measurements().procedure(procedure)
}

fn completed(world: &World<'_>, procedure: Procedure) -> u64 {
    tally(world, procedure).completed
}

const RELEASE: &str = "[procedures.release]\nafter_s = 100\njitter = 0.1\n";

#[test]
fn re_authentications_take_new_security_associations() {
    let more =
        "[procedures.reauthenticate]\nafter_s = 10\njitter = 0.5\ncount = 4\n".to_owned() + RELEASE;
    each_seed(&more, |world| {
        assert_eq!(completed(world, Procedure::Reauthenticate), 4 * UES);
        assert_eq!(world.engine().counter(|it| it.reauthenticated), 4 * UES);
        assert_eq!(completed(world, Procedure::Release), UES);
        // A refresh without credentials takes two transactions, as a set-up does.
        let subscribes = world.generator().measurements().transaction(Transaction::Subscribe);
        assert_eq!(subscribes.completed, (2 + 4 * 2 + 1) * UES);
    });
}

#[test]
fn what_is_due_at_one_time_waits_its_turn() {
    let more = "[procedures.reauthenticate]\nafter_s = 5\ncount = 3\n\
                [procedures.refresh]\nafter_s = 5\ncount = 3\n\
                [procedures.identity_change]\nafter_s = 5\ncount = 2\n"
        .to_owned()
        + RELEASE;
    each_seed(&more, |world| {
        assert_eq!(completed(world, Procedure::Reauthenticate), 3 * UES);
        assert_eq!(completed(world, Procedure::Refresh), 3 * UES);
        assert_eq!(completed(world, Procedure::IdentityChange), 2 * UES);
        // Each waits for at least a round trip of what goes before it, and counts from when it was due.
        let last = tally(world, Procedure::IdentityChange);
        assert!(last.latency_us.mean() > last.raw_us.mean() + 10_000.0);
        assert_eq!(last.latency_us.len(), last.raw_us.len());
    });
}

#[test]
fn a_population_offers_a_mix_of_all_it_can_do() {
    let mix: String = [
        "refresh",
        "reauthenticate",
        "identity_change",
        "register_over_connection",
        "reg_event",
        "message",
        "call_setup",
        "handover",
    ]
    .map(|name| format!("mix.{name}.rate_per_s = 2\n"))
    .concat();
    let more = "[topology]\npcscf = [\"127.0.0.1:5060\", \"127.0.0.2:5060\"]\n".to_owned()
        + REGISTER
        + "[procedures.call]\nafter_s = 0\ncount = 0\nring_s = 0.5\nholding_s = 3\n"
        + "[procedures.release]\nafter_s = 150\n[traffic]\nprocess = \"constant\"\n"
        + &mix
        + "steps = [{ for_s = 20 }, { for_s = 10, load = 2, transient_s = 2 }]\n";
    each_seed(&more, |world| {
        let steps = world.generator().measurements().steps().all();
        assert_eq!(steps.len(), 2);
        for (step, expected) in steps.iter().zip([40, 32]) {
            assert_eq!(step.rows.len(), 8);
            for row in &step.rows {
                let counts = (row.tally.attempted, row.tally.completed, row.skipped);
                assert_eq!(counts, (expected, expected, 0), "{:?}", row.procedure);
            }
        }
        // 40 and 40 of the steps, and two that each UE begins by itself.
        assert_eq!(completed(world, Procedure::RegisterOverConnection), 80 + 2 * UES);
        assert_eq!(completed(world, Procedure::Refresh), 80);
    });
}

#[test]
fn the_operator_changes_identities() {
    let more = "[procedures.identity_change]\nafter_s = 10\njitter = 0.5\ncount = 3\n".to_owned()
        + RELEASE;
    each_seed(&more, |world| {
        assert_eq!(completed(world, Procedure::IdentityChange), 3 * UES);
        assert_eq!(world.engine().counter(|it| it.identities_changed), 3 * UES);
    });
}

#[test]
fn the_operator_has_ues_authenticate_again() {
    let more = "[procedures.network_reauthenticate]\nafter_s = 10\njitter = 0.5\ncount = 2\n\
                expires_s = 200\n"
        .to_owned()
        + RELEASE;
    each_seed(&more, |world| {
        assert_eq!(completed(world, Procedure::NetworkReauthenticate), 2 * UES);
        assert_eq!(world.engine().counter(|it| it.reauthenticated), 2 * UES);
        assert_eq!(tally(world, Procedure::Refresh).attempted, 0);
    });
}

#[test]
fn those_deactivated_come_back_and_those_rejected_do_not() {
    let more = "[procedures.network_release]\nafter_s = 10\njitter = 0.5\n\
                deactivated_share = 0.5\nrejected_share = 0.5\n"
        .to_owned()
        + RELEASE;
    each_seed(&more, |world| {
        assert_eq!(completed(world, Procedure::NetworkRelease), UES);
        let back = completed(world, Procedure::Secure) - UES;
        assert!((1..UES).contains(&back), "{back}");
        assert_eq!(completed(world, Procedure::Release), back);
        assert_eq!(world.generator().state().notify_unmatched, 0);
    });
}

#[test]
fn what_is_abandoned_is_no_failure_and_comes_back() {
    let more = "[abandon]\nchallenge_share = 0.3\nsecured_share = 0.3\nsecured_after_s = 5\n\
                back_after_s = 20\n"
        .to_owned()
        + RELEASE;
    each_seed(&more, |world| {
        let vanished = world.generator().state().vanished;
        let secure = tally(world, Procedure::Secure);
        assert!(secure.abandoned > 0 && vanished > 0, "{} {vanished}", secure.abandoned);
        assert_eq!(secure.attempted, UES + secure.abandoned + vanished);
        assert_eq!(secure.completed, UES + vanished);
        assert_eq!(completed(world, Procedure::Release), UES);
    });
}

#[test]
fn a_herd_refreshes_in_its_window() {
    let more = "[procedures.refresh]\nat_s = 30\nwindow_s = 1\ncount = 1\n".to_owned() + RELEASE;
    each_seed(&more, |world| {
        assert_eq!(completed(world, Procedure::Refresh), UES);
    });
}

#[test]
fn a_ue_shows_what_it_believes() {
    each_seed(RELEASE, |world| {
        let ue = world.generator().ue(0).unwrap();
        assert_eq!(
            (ue.stage, ue.is_secured, ue.contact),
            (crate::generator::Stage::Gone, false, None)
        );
        assert!(ue.lifetime_ends_at > world.now());
        assert_ne!(ue.identities, world.generator().ue(1).unwrap().identities);
        assert!(world.generator().ue(u32::try_from(UES).unwrap()).is_none());
    });
}

const REGISTRATION: &str = "[ue]\naccess = \"registration\"\n";

/// As [`each_seed`], of UEs that register. The P-CSCF's security associations may go with the 200 to the REGISTER that ends a
/// registration (TS 24.229 clause 5.2.5.1): where that is lost, nobody answers the REGISTER any more.
fn each_seed_of_registrations(more: &str, check: impl Fn(&World<'_>)) {
    each_world(&(REGISTRATION.to_owned() + more), |world| {
        let ended = world.run();
        assert_eq!(checks::at_the_end(world, ended), Vec::<String>::new());
        let failures = world.generator().measurements().failures();
        let release = tally(world, Procedure::Release);
        assert_eq!(failures.total(), failures.of(Cause::Timeout));
        assert_eq!(failures.total(), release.failed);
        assert!(release.failed <= release.attempted / 5, "{release:?}");
        check(world);
    });
}

#[test]
fn ues_of_today_register_and_do_the_same_over_it() {
    let more = "[procedures.message]\nafter_s = 3\njitter = 0.5\ncount = 3\n".to_owned()
        + "[procedures.reg_event]\nafter_s = 2\ncount = 2\n"
        + "[procedures.call]\nafter_s = 10\njitter = 0.5\nholding_s = 30\ncount = 2\nabandoned_share = 0.2\n"
        + "[procedures.refresh]\nafter_s = 20\njitter = 0.5\ncount = 3\nexpires_s = 600\n"
        + "[procedures.release]\nafter_s = 290\n";
    each_seed_of_registrations(&more, |world| {
        assert_eq!(completed(world, Procedure::Registration), UES);
        assert_eq!(tally(world, Procedure::Secure).attempted, 0);
        assert_eq!(completed(world, Procedure::Message), 3 * UES);
        assert_eq!(completed(world, Procedure::RegEvent), 2 * UES);
        assert_eq!(completed(world, Procedure::Refresh), 3 * UES);
        assert_eq!(tally(world, Procedure::Release).attempted, UES);
        assert_eq!(tally(world, Procedure::CallSetup).attempted, 2 * UES);
        let sessions = sessions(world);
        assert_eq!((sessions.released, sessions.lost), (sessions.established, 0));
        let made = |count: fn(&Counters) -> u64| world.engine().counter(count);
        assert_eq!(made(|it| it.aka_registrations_made), UES);
        assert_eq!(made(|it| it.subscriptions_made), 0);
        assert!(world.invariants().quiet_checks() > UES);
        let state = world.generator().state();
        assert_eq!((state.secured_ever, state.notify_unmatched), (UES, 0));
    });
}

#[test]
fn registrations_that_connections_rest_on_are_refreshed_at_half_their_time() {
    let more = "[procedures.refresh]\nexpires_s = 60\n[procedures.release]\nafter_s = 155\n";
    each_seed_of_registrations(more, |world| {
        // Each 30 s up to 150 s; what had to be repeated shifts it a little.
        let refreshes = completed(world, Procedure::Refresh);
        assert!((4 * UES..=5 * UES).contains(&refreshes), "{refreshes}");
        assert_eq!(tally(world, Procedure::Release).attempted, UES);
    });
}

#[test]
fn a_registration_is_given_up_and_begun_anew_as_a_subscription_is() {
    let more = "[abandon]\nchallenge_share = 0.3\nsecured_share = 0.3\nsecured_after_s = 5\nback_after_s = 20\n"
        .to_owned()
        + RELEASE;
    each_seed_of_registrations(&more, |world| {
        let vanished = world.generator().state().vanished;
        let registration = tally(world, Procedure::Registration);
        assert!(registration.abandoned > 0 && vanished > 0);
        assert_eq!(registration.attempted, UES + registration.abandoned + vanished);
        assert_eq!(tally(world, Procedure::Release).attempted, UES);
    });
}

const REGISTER: &str = "[procedures.register_over_connection]\nafter_s = 5\njitter = 0.5\ncount = 2\nexpires_s = 600\n";

#[test]
fn ues_register_over_their_connections() {
    each_seed(&(REGISTER.to_owned() + RELEASE), |world| {
        assert_eq!(completed(world, Procedure::RegisterOverConnection), 2 * UES);
        let registers = world.generator().measurements().transaction(Transaction::Register);
        assert_eq!((registers.attempted, registers.completed), (2 * UES, 2 * UES));
    });
}

#[test]
fn registrations_are_refreshed_at_half_their_time() {
    let more = "[procedures.register_over_connection]\nafter_s = 5\nexpires_s = 60\n".to_owned()
        + "[procedures.release]\nafter_s = 150\n";
    each_seed(&more, |world| {
        // At 5 s, and then each 30 s up to 125 s; what had to be repeated shifts it a little.
        let registers = completed(world, Procedure::RegisterOverConnection);
        assert!((4 * UES..=5 * UES).contains(&registers), "{registers}");
    });
}

#[test]
fn ues_watch_their_registrations() {
    let more = "[procedures.reg_event]\nafter_s = 2\ncount = 2\n".to_owned() + REGISTER + RELEASE;
    each_seed(&more, |world| {
        assert_eq!(completed(world, Procedure::RegEvent), 2 * UES);
        assert_eq!(world.generator().state().notify_unmatched, 0);
    });
}

/// The largest lists that there are, of users whose two UEs share them.
#[test]
fn users_have_several_devices_and_many_identities() {
    let more =
        "[population]\nsize = 40\nidentities = 16\ndevices = 2\n[arrivals]\nrate_per_s = 20\n"
            .to_owned()
            + "[procedures.message]\nafter_s = 3\njitter = 0.5\ncount = 3\n\
           [procedures.reg_event]\nafter_s = 2\ncount = 2\n\
           [procedures.identity_change]\nafter_s = 7\njitter = 0.9\ncount = 2\n"
            + REGISTER
            + RELEASE;
    each_seed(&more, |world| {
        assert_eq!(completed(world, Procedure::Secure), UES);
        assert_eq!(completed(world, Procedure::RegisterOverConnection), 2 * UES);
        assert_eq!(completed(world, Procedure::RegEvent), 2 * UES);
        assert_eq!(completed(world, Procedure::IdentityChange), 2 * UES);
        assert_eq!(completed(world, Procedure::Message), 3 * UES);
    });
}

#[test]
fn partners_write_to_each_other_once_both_are_registered() {
    let more = "[procedures.message]\nafter_s = 3\njitter = 0.5\ncount = 3\n".to_owned()
        + REGISTER
        + RELEASE;
    each_seed(&more, |world| {
        assert_eq!(completed(world, Procedure::Message), 3 * UES);
        let messages = world.generator().measurements().transaction(Transaction::Message);
        assert_eq!(messages.completed, 3 * UES);
        assert!(world.generator().state().messages_received >= 3 * UES);
    });
}

#[test]
fn nobody_is_written_to_who_is_about_to_leave() {
    let more = "[procedures.message]\nafter_s = 2\njitter = 0.5\ncount = 20\n\
                [procedures.network_release]\nafter_s = 30\njitter = 0.5\n"
        .to_owned()
        + REGISTER
        + RELEASE;
    each_seed(&more, |world| {
        assert!(completed(world, Procedure::Message) > 5 * UES);
        assert_eq!(completed(world, Procedure::NetworkRelease), UES);
    });
}

#[test]
fn all_of_it_at_once_holds() {
    let more = "[procedures.message]\nafter_s = 6\njitter = 0.9\ncount = 6\n\
                [procedures.reg_event]\nafter_s = 2\njitter = 0.9\ncount = 2\n\
                [procedures.reauthenticate]\nafter_s = 8\njitter = 0.9\ncount = 3\n\
                [procedures.identity_change]\nafter_s = 7\njitter = 0.9\ncount = 4\n\
                [procedures.network_reauthenticate]\nafter_s = 9\njitter = 0.9\nexpires_s = 200\n\
                [procedures.refresh]\nafter_s = 4\njitter = 0.9\ncount = 2\n"
        .to_owned()
        + REGISTER
        + "[procedures.release]\nafter_s = 300\n";
    each_seed(&more, |world| {
        assert_eq!(completed(world, Procedure::Message), 6 * UES);
        assert_eq!(completed(world, Procedure::RegEvent), 2 * UES);
        assert_eq!(completed(world, Procedure::Reauthenticate), 3 * UES);
        assert_eq!(completed(world, Procedure::IdentityChange), 4 * UES);
        assert_eq!(completed(world, Procedure::NetworkReauthenticate), UES);
        assert_eq!(completed(world, Procedure::Refresh), 2 * UES);
        assert_eq!(completed(world, Procedure::Release), UES);
    });
}

/// All are secured by then, and nothing else has begun.
const SECURED_AT: Time = world::START_NS + seconds(30);

fn impi(world: &World<'_>, ue: u64) -> Vec<u8> {
    world.generator().impi(u32::try_from(ue).unwrap())
}

#[test]
fn a_lifetime_that_the_network_lowers_by_itself_is_restored_by_a_refresh_that_is_challenged() {
    let more = "[procedures.refresh]\nafter_s = 60\ncount = 1\n".to_owned() + RELEASE;
    each_world(&more, |world| {
        assert!(world.run_until(SECURED_AT));
        for ue in 0..UES {
            let impi = impi(world, ue);
            assert_eq!(world.command(&Command::Shorten { impi, expires_s: 200 }), 1);
        }
        let ended = world.run();
        assert_eq!(checks::at_the_end(world, ended), Vec::<String>::new());
        // One by the profile, and one for the lowered lifetime.
        assert_eq!(completed(world, Procedure::Refresh), 2 * UES);
        assert_eq!(world.engine().counter(|it| it.reauthenticated), UES);
        assert_eq!(completed(world, Procedure::Release), UES);
    });
}

#[test]
fn a_connection_that_the_network_ends_by_itself_is_over() {
    each_world(RELEASE, |world| {
        assert!(world.run_until(SECURED_AT));
        for ue in 0..UES {
            let impi = impi(world, ue);
            assert_eq!(world.command(&Command::Terminate { impi, reason: Reason::Rejected }), 1);
        }
        let ended = world.run();
        assert_eq!(checks::at_the_end(world, ended), Vec::<String>::new());
        assert_eq!(tally(world, Procedure::Release).attempted, 0);
        assert_eq!(world.generator().measurements().failures().total(), 0);
    });
}

#[test]
fn a_re_authentication_resynchronises_sequence_numbers() {
    let more = "[procedures.reauthenticate]\nafter_s = 60\ncount = 2\n".to_owned()
        + "[procedures.release]\nafter_s = 200\n";
    each_world(&more, |world| {
        assert!(world.run_until(SECURED_AT));
        let usims = &mut world.generator_mut().usims;
        for user in 0..UES as usize {
            usims.set(user, &Freshness::after(Sqn::from_parts(5_000, 0)));
        }
        let ended = world.run();
        assert_eq!(checks::at_the_end(world, ended), Vec::<String>::new());
        assert_eq!(world.generator().measurements().failures().total(), 0);
        assert_eq!(world.engine().counter(|it| it.resynchronised), UES);
        assert_eq!(completed(world, Procedure::Reauthenticate), 2 * UES);
    });
}

#[test]
fn challenges_of_a_network_that_does_not_know_the_key_are_refused_twice_and_no_more() {
    let more = "[procedures.refresh]\nexpires_s = 600\n[procedures.reauthenticate]\nafter_s = 60\n"
        .to_owned()
        + RELEASE;
    each_world(&more, |world| {
        assert!(world.run_until(SECURED_AT));
        let population = &mut world.generator_mut().population;
        let mut other = population.directory.derivation().unwrap().clone();
        other.seed += 1;
        population.directory = Arc::new(Directory::derived(other));
        let ended = world.run();
        assert_eq!(checks::at_the_end(world, ended), Vec::<String>::new());
        let failures = world.generator().measurements().failures();
        assert_eq!((failures.of(Cause::MacFailure), failures.total()), (UES, UES));
        assert_eq!(tally(world, Procedure::Reauthenticate).failed, UES);
        // At set-up one, then the first and one for each refusal.
        assert_eq!(world.engine().counter(|it| it.challenges), (1 + 3) * UES);
    });
}

#[test]
fn what_the_operator_refuses_has_failed_and_the_ue_goes_on() {
    let more = "[procedures.identity_change]\nafter_s = 5\ncount = 2\n\
                [procedures.network_release]\nafter_s = 20\n"
        .to_owned()
        + RELEASE;
    each_world(&more, |world| {
        world.refuse_operator();
        let ended = world.run();
        assert_eq!(checks::at_the_end(world, ended), Vec::<String>::new());
        assert_eq!(tally(world, Procedure::IdentityChange).failed, 2 * UES);
        assert_eq!(tally(world, Procedure::NetworkRelease).failed, UES);
        assert_eq!(world.generator().measurements().failures().of(Cause::Operator), 3 * UES);
        assert_eq!(completed(world, Procedure::Release), UES);
    });
}

#[test]
fn no_offer_has_the_spis_or_the_client_port_of_a_set_that_the_ue_has() {
    // Plain refreshes make offers that come to nothing, until the numbers come round to that of the live set.
    let more = "[procedures.refresh]\nafter_s = 1\ncount = 70\n\
                [procedures.reauthenticate]\nafter_s = 7\njitter = 0.5\ncount = 10\n\
                [procedures.release]\nafter_s = 400\n";
    each_seed(more, |world| {
        // A NOTIFY that crosses a 200 may look as if it lowered the lifetime: then there is one more.
        assert!(completed(world, Procedure::Refresh) >= 70 * UES);
        assert_eq!(completed(world, Procedure::Reauthenticate), 10 * UES);
    });
}

const CALL: &str = "[procedures.call]\nafter_s = 10\njitter = 0.5\nholding_s = 30\n";

fn sessions(world: &World<'_>) -> crate::generator::Sessions {
    world.generator().state().sessions
}

#[test]
fn partners_call_each_other() {
    let more = CALL.to_owned()
        + "count = 2\nabandoned_share = 0.2\n"
        + REGISTER
        + "[procedures.release]\nafter_s = 600\n";
    each_seed(&more, |world| {
        let setups = tally(world, Procedure::CallSetup);
        assert_eq!((setups.attempted, setups.failed), (2 * UES, 0));
        let sessions = sessions(world);
        assert_eq!(sessions.established, setups.completed);
        assert_eq!((sessions.released, sessions.lost), (sessions.established, 0));
        assert!(setups.abandoned > 0 && completed(world, Procedure::CallRelease) > 0);
    });
}

#[test]
fn sessions_last_through_re_authentications_and_refreshes() {
    let more = "[procedures.call]\nafter_s = 10\njitter = 0.5\nsession_expires_s = 240\ncallee_hangs_up_share = 0\n"
        .to_owned()
        + "[procedures.reauthenticate]\nafter_s = 7\njitter = 0.9\ncount = 15\n"
        + REGISTER
        + "[procedures.release]\nafter_s = 400\n";
    for by in ["update", "invite"] {
        let more = more.replace("callee_hangs", &format!("refresh_by = \"{by}\"\ncallee_hangs"));
        each_seed(&more, |world| {
            let sessions = sessions(world);
            assert_eq!((sessions.established, sessions.released, sessions.lost), (UES, UES, 0));
            // Every two minutes.
            assert!(completed(world, Procedure::SessionRefresh) >= 2 * UES);
        });
    }
}

#[test]
fn the_end_of_a_connection_ends_its_sessions() {
    let more = "[procedures.call]\nafter_s = 8\njitter = 0.5\n".to_owned()
        + REGISTER
        + "[procedures.network_release]\nafter_s = 40\njitter = 0.5\nback = false\n";
    each_seed(&more, |world| {
        let sessions = sessions(world);
        assert_eq!((sessions.released, sessions.lost), (sessions.established, 0));
        assert!(sessions.established > UES / 2, "{sessions:?}");
        assert_eq!(completed(world, Procedure::NetworkRelease), UES);
    });
}

const TWO_ACCESSES: &str = "[topology]\npcscf = [\"127.0.0.1:5060\", \"127.0.0.2:5060\"]\n[procedures.refresh]\nexpires_s = 3600\n";

/// As [`each_seed`], of UEs with two accesses.
fn each_seed_of_two_accesses(more: &str, check: impl Fn(&World<'_>)) {
    each_seed(&(TWO_ACCESSES.to_owned() + more), check);
}

const REG_EVENT: &str = "[procedures.reg_event]\nafter_s = 2\nexpires_s = 3600\n";
/// Sessions that last, begun by the time of the handover.
const LONG_CALL: &str = "[procedures.call]\nafter_s = 12\njitter = 0.5\n";

fn handover(mode: &str, old_access: &str, count: u32) -> String {
    format!(
        "[procedures.handover]\nafter_s = 60\njitter = 0.2\nmode = \"{mode}\"\nold_access = \"{old_access}\"\n\
         count = {count}\n"
    )
}

#[test]
fn users_without_sessions_go_to_their_other_access() {
    let more = handover("replaces", "alive", 1) + REGISTER + REG_EVENT + RELEASE;
    each_seed_of_two_accesses(&more, |world| {
        for procedure in [
            Procedure::Handover,
            Procedure::HandoverSecure,
            Procedure::HandoverSubscriptions,
            Procedure::HandoverBindings,
            Procedure::HandoverRelease,
        ] {
            assert_eq!(completed(world, procedure), UES, "{procedure:?}");
        }
        assert_eq!(completed(world, Procedure::Release), UES);
        let state = world.generator().state();
        assert_eq!((state.secured_max, state.secured_ever, state.gone), (UES, UES, UES));
    });
}

fn handovers_move_sessions(mode: &str, old_access: &str) {
    // Where both parties lose their accesses at once, neither is reached by the other's INVITE.
    let movers = if old_access == "lost" { UES / 2 } else { UES };
    let more = handover(mode, old_access, 1)
        + &format!("share = {}\n", movers as f64 / UES as f64)
        + REGISTER
        + REG_EVENT
        + LONG_CALL
        + "[procedures.release]\nafter_s = 400\n";
    each_seed_of_two_accesses(&more, |world| {
        let sessions = sessions(world);
        assert_eq!(completed(world, Procedure::Handover), movers);
        assert_eq!((sessions.established, sessions.lost), (UES, 0));
        // Each user has a session that it began, and one that its partner did.
        assert_eq!(sessions.moved, 2 * movers);
        assert_eq!(completed(world, Procedure::Interruption), 2 * movers);
        assert_eq!(completed(world, Procedure::SubscriptionMove), movers);
    });
}

#[test]
fn sessions_are_moved_by_replaces() {
    handovers_move_sessions("replaces", "alive");
}

#[test]
fn sessions_are_moved_by_replaces_from_an_access_that_is_lost() {
    handovers_move_sessions("replaces", "lost");
}

#[test]
fn sessions_are_moved_by_target_refresh() {
    handovers_move_sessions("target_refresh", "alive");
}

#[test]
fn sessions_are_moved_by_target_refresh_from_an_access_that_is_lost() {
    handovers_move_sessions("target_refresh", "lost");
}

#[test]
fn users_go_to_and_fro_with_their_sessions() {
    for mode in ["replaces", "target_refresh"] {
        let more = handover(mode, "alive", 5)
            + REGISTER
            + REG_EVENT
            + LONG_CALL
            + "[procedures.release]\nafter_s = 700\n";
        each_seed_of_two_accesses(&more, |world| {
            let sessions = sessions(world);
            assert_eq!(completed(world, Procedure::Handover), 5 * UES);
            assert_eq!((sessions.established, sessions.lost), (UES, 0));
            assert_eq!(sessions.moved, 10 * UES);
            assert_eq!(completed(world, Procedure::Release), UES);
        });
    }
}

#[test]
fn an_access_that_was_lost_is_gone_back_to_later() {
    let more =
        "[procedures.handover]\nafter_s = 150\ncount = 2\nshare = 0.5\nold_access = \"lost\"\n"
            .to_owned()
            + REGISTER
            + REG_EVENT
            + LONG_CALL
            + "[procedures.release]\nafter_s = 700\n";
    each_seed_of_two_accesses(&more, |world| {
        assert_eq!(completed(world, Procedure::Handover), UES);
        assert_eq!((sessions(world).moved, sessions(world).lost), (2 * UES, 0));
    });
}

/// Sessions of UEs that register are lost with each handover, and made anew.
fn handovers_break_sessions(old_access: &str, count: u32) {
    let movers = UES / 2;
    let more = TWO_ACCESSES.to_owned()
        + &handover("replaces", old_access, count)
        + "share = 0.5\n"
        + REG_EVENT
        + LONG_CALL
        + "[procedures.release]\nafter_s = 700\n";
    each_seed_of_registrations(&more, |world| {
        let handovers = movers * u64::from(count);
        assert_eq!(completed(world, Procedure::Handover), handovers);
        assert_eq!(completed(world, Procedure::HandoverSecure), handovers);
        // Each user has a session that it began, and one that its partner did.
        assert_eq!(completed(world, Procedure::Interruption), 2 * handovers);
        assert_eq!(completed(world, Procedure::HandoverSubscriptions), handovers);
        assert_eq!(tally(world, Procedure::SubscriptionMove).attempted, 0);
        let sessions = sessions(world);
        assert_eq!((sessions.moved, sessions.lost), (0, 2 * handovers));
        assert_eq!(sessions.established, UES + sessions.lost);
        assert_eq!(tally(world, Procedure::Release).attempted, UES);
        assert_eq!(world.engine().counter(|it| it.aka_registrations_overridden), handovers);
        assert_eq!(world.generator().state().notify_unmatched, 0);
    });
}

#[test]
fn a_registration_at_another_access_costs_the_sessions() {
    handovers_break_sessions("alive", 1);
}

#[test]
fn a_registration_after_the_loss_of_the_access_costs_the_sessions() {
    handovers_break_sessions("lost", 1);
}

#[test]
fn sessions_are_made_anew_after_each_registration() {
    handovers_break_sessions("alive", 4);
}

const LEGACY_PCSCF: &str = "[engine]\npcscf = [{ security_event = false }]\n";
const LEGACY_SCSCF: &str = "[engine.scscf]\nsecurity_event = false\n";
const SHORT: &str = "[procedures.refresh]\nexpires_s = 120\n";

#[test]
fn ues_whose_network_does_not_know_the_extension_register() {
    for engine in [LEGACY_PCSCF, LEGACY_SCSCF] {
        let more = engine.to_owned()
            + "[ue]\nfallback_s = 3600\n"
            + SHORT
            + REGISTER
            + REG_EVENT
            + CALL
            + RELEASE;
        each_seed(&more, |world| {
            let secure = tally(world, Procedure::Secure);
            assert_eq!((secure.attempted, secure.abandoned), (UES, UES));
            assert_eq!(completed(world, Procedure::Fallback), UES);
            assert_eq!(tally(world, Procedure::RegisterOverConnection).attempted, 0);
            assert_eq!(completed(world, Procedure::RegEvent), UES);
            assert_eq!(tally(world, Procedure::CallSetup).completed, UES);
            assert_eq!(tally(world, Procedure::Release).attempted, UES);
            assert_eq!(tally(world, Procedure::FallbackReturn).attempted, 0);
            assert_eq!(world.generator().state().secured_ever, UES);
        });
    }
}

#[test]
fn whoever_may_not_fall_back_has_failed() {
    each_world(&(LEGACY_PCSCF.to_owned() + RELEASE), |world| {
        let ended = world.run();
        assert_eq!(checks::at_the_end(world, ended), Vec::<String>::new());
        let failures = world.generator().measurements().failures();
        assert_eq!((failures.of(Cause::StatusOther(420)), failures.total()), (UES, UES));
        assert_eq!(tally(world, Procedure::Fallback).attempted, 0);
    });
}

#[test]
fn the_extension_is_tried_again_and_the_registration_goes_on_where_it_is_still_unknown() {
    let more = "[topology]\npcscf = [\"127.0.0.1:5060\"]\n".to_owned()
        + LEGACY_PCSCF
        + "[ue]\nfallback_s = 100\n"
        + SHORT
        + REG_EVENT
        + LONG_CALL.replace("after_s = 12", "after_s = 20").as_str()
        + REGISTER
        + "[procedures.release]\nafter_s = 280\n";
    each_seed(&more, |world| {
        assert_eq!(completed(world, Procedure::Fallback), UES);
        // At the refreshes after two minutes, and after four.
        let tried = tally(world, Procedure::FallbackReturn);
        assert_eq!((tried.attempted, tried.abandoned), (2 * UES, 2 * UES));
        assert_eq!(completed(world, Procedure::Refresh), 4 * UES);
        let sessions = sessions(world);
        assert_eq!((sessions.moved, sessions.lost), (0, 0));
    });
}

#[test]
fn ues_return_to_the_extension_with_their_sessions() {
    // Half of the users have their first access in a network that does not know the extension, and their other one in one that does.
    let more = "[topology]\npcscf = [\"127.0.0.1:5060\", \"127.0.0.2:5060\"]\n".to_owned()
        + LEGACY_PCSCF
        + "[ue]\nfallback_s = 50\n"
        + "[procedures.refresh]\nafter_s = 40\ncount = 9\nexpires_s = 120\n"
        + REG_EVENT
        + "[procedures.call]\nafter_s = 20\njitter = 0.5\n"
        + REGISTER
        + "[procedures.release]\nafter_s = 400\n";
    each_seed(&more, |world| {
        let fallen = UES / 2;
        assert_eq!(completed(world, Procedure::Secure), fallen);
        assert_eq!(completed(world, Procedure::Fallback), fallen);
        let back = tally(world, Procedure::FallbackReturn);
        assert_eq!((back.attempted, back.abandoned), (fallen, 0));
        assert_eq!(completed(world, Procedure::HandoverSecure), fallen);
        assert_eq!(completed(world, Procedure::HandoverBindings), fallen);
        assert_eq!(completed(world, Procedure::SubscriptionMove), fallen);
        let sessions = sessions(world);
        assert_eq!((sessions.established, sessions.moved, sessions.lost), (UES, UES, 0));
        assert_eq!(tally(world, Procedure::Release).attempted, UES);
        assert_eq!(tally(world, Procedure::Release).failed, 0, "none of them is registered");
        assert_eq!(world.generator().state().notify_unmatched, 0);
    });
}

#[test]
fn calls_that_come_and_go_are_not_lost_in_handovers() {
    let more = handover("replaces", "alive", 3)
        + REGISTER
        + REG_EVENT
        + "[procedures.call]\nafter_s = 10\njitter = 0.5\nholding_s = 20\ncount = 6\nabandoned_share = 0.1\n"
        + "[procedures.message]\nafter_s = 9\njitter = 0.5\ncount = 6\n"
        + "[procedures.reauthenticate]\nafter_s = 25\njitter = 0.5\ncount = 3\n"
        + "[procedures.release]\nafter_s = 700\n";
    each_seed_of_two_accesses(&more, |world| {
        let sessions = sessions(world);
        assert_eq!(completed(world, Procedure::Handover), 3 * UES);
        assert_eq!(tally(world, Procedure::CallSetup).attempted, 6 * UES);
        assert_eq!((sessions.released, sessions.lost), (sessions.established, 0));
        assert!(sessions.moved > 0);
    });
}

/// A built-in profile with fewer UEs, for each seed.
fn each_seed_of(name: &str, check: impl Fn(&World<'_>)) {
    let set = [("population.size".to_owned(), UES.to_string())];
    let profile = Profile::load(name, &set).unwrap();
    let engine = crate::embedded::config(&profile).unwrap();
    let directory = Arc::new(crate::population::directory(&profile).unwrap());
    for seed in SEEDS {
        let mut world = World::new(&profile, &engine, Arc::clone(&directory), seed, None);
        let ended = world.run();
        assert_eq!(checks::at_the_end(&world, ended), Vec::<String>::new(), "seed {seed}");
        let failures: Vec<_> = world.generator().measurements().failures().iter().collect();
        assert_eq!(failures, [], "seed {seed}");
        check(&world);
    }
}

#[test]
fn ues_return_when_the_operator_switches_the_extension_on() {
    for name in ["legacy-pcscf", "legacy-scscf"] {
        each_seed_of(name, |world| {
            assert_eq!(completed(world, Procedure::Secure), 0, "{name}: it is not known at first");
            assert_eq!(completed(world, Procedure::Fallback), UES);
            assert_eq!(completed(world, Procedure::Switch), 1);
            let back = tally(world, Procedure::FallbackReturn);
            assert_eq!((back.completed, back.failed), (UES, 0));
            assert_eq!(completed(world, Procedure::HandoverSecure), UES);
            assert_eq!(completed(world, Procedure::SubscriptionMove), UES);
            let sessions = sessions(world);
            assert_eq!((sessions.established, sessions.moved), (UES / 2, UES), "with their calls");
            assert_eq!(sessions.lost, 0);
            assert_eq!(completed(world, Procedure::Release), UES);
        });
    }
}

const SWITCHED_OFF: &str = "[[operator]]\nat_s = 20\nrole = \"pcscf\"\nnumber = 1\nsecurity_event = false\n\
    [[operator]]\nat_s = 21\nrole = \"scscf\"\nsecurity_event = false\n";

#[test]
fn what_lives_when_the_operator_switches_the_extension_off_goes_on() {
    let more = SWITCHED_OFF.to_owned()
        + "[procedures.reauthenticate]\nafter_s = 15\ncount = 4\n"
        + REGISTER
        + REG_EVENT
        + RELEASE;
    each_seed(&more, |world| {
        assert_eq!(completed(world, Procedure::Switch), 2);
        assert_eq!(completed(world, Procedure::Secure), UES);
        assert_eq!(completed(world, Procedure::Reauthenticate), 4 * UES);
        assert_eq!(completed(world, Procedure::RegisterOverConnection), 2 * UES);
        assert_eq!(completed(world, Procedure::Release), UES);
    });
}

#[test]
fn a_switch_that_is_refused_has_failed() {
    each_world(&(SWITCHED_OFF.to_owned() + RELEASE), |world| {
        world.refuse_operator();
        let ended = world.run();
        assert_eq!(checks::at_the_end(world, ended), Vec::<String>::new());
        let switch = tally(world, Procedure::Switch);
        assert_eq!((switch.attempted, switch.failed), (2, 2));
        assert_eq!(completed(world, Procedure::Secure), UES);
    });
}

#[test]
fn without_access_security_users_register_call_and_leave_as_well() {
    let more = "[ue]\naccess = \"registration\"\naccess_security = \"none\"\n\
                [procedures.refresh]\nafter_s = 10\ncount = 3\nexpires_s = 600\n\
                [procedures.reg_event]\nafter_s = 5\nexpires_s = 600\n\
                [procedures.message]\nafter_s = 5\ncount = 4\n\
                [procedures.call]\nafter_s = 5\ncount = 2\nholding_s = 5\n\
                [procedures.release]\nafter_s = 60\n";
    each_seed(more, |world| {
        assert_eq!(completed(world, Procedure::Registration), UES);
        assert_eq!(completed(world, Procedure::RegEvent), UES);
        assert_eq!(completed(world, Procedure::Message), 4 * UES);
        assert!(completed(world, Procedure::CallSetup) > 0);
        assert_eq!(completed(world, Procedure::Release), UES);
        assert!(world.invariants().quiet_checks() > UES);
        assert_eq!(world.engine().counter(|it| it.challenges), 0);
    });
}
