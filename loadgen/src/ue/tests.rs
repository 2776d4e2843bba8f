//! What UEs make of a network that does not do what it should.

use std::sync::Arc;

use imstorm_base::io::Outbox;
use imstorm_base::time::{Time, seconds};

use super::*;
use crate::generator::{Generator, RunSeed, Step};
use crate::measure::{Cause, Start};
use crate::profile::Profile;
use crate::recorder::Capture;

const NOW: Time = seconds(1000);

fn generator() -> Generator {
    let text = "name = \"sample\"\n[population]\nsize = 2\n[arrivals]\nrate_per_s = 1\n";
    let profile = Profile::parse("sample.toml", text, &[]).unwrap();
    let directory = Arc::new(crate::population::directory(&profile).unwrap());
    Generator::new(&profile, directory, RunSeed { seed: 1, run: 1 }, Capture::None)
}

/// A UE whose refresh after a lowered lifetime has just been granted for `granted_s`, of 600 s before.
fn after_network_reauthentication(
    was_challenged: bool,
    granted_s: u32,
    notified_s: u32,
) -> (Generator, bool) {
    let mut generator = generator();
    let mut outbox = Outbox::new(4, 2048);
    let mut step = Step { now: NOW, outbox: &mut outbox };
    generator.start_procedure(0, Procedure::NetworkReauthenticate, Start::at(NOW));
    generator.secured = 1;
    generator.progress_mut(0).unwrap().full_s = 600;
    let clock = generator.clock;
    let ue = &mut generator.ues[0];
    ue.stage = if was_challenged { Stage::Reanswering } else { Stage::Refreshing };
    ue.was_challenged = was_challenged;
    (ue.has_200, ue.has_notify) = (true, true);
    ue.lifetime.grant(clock, NOW, granted_s);
    ue.lifetime.notify(clock, NOW, notified_s);
    let is_refreshed = generator.is_refreshed(0);
    if is_refreshed {
        generator.refreshed(&mut step, 0);
    }
    (generator, is_refreshed)
}

fn failures(generator: &Generator) -> Vec<Cause> {
    generator.measurements().failures().iter().map(|(cause, _)| cause).collect()
}

#[test]
fn a_lowered_lifetime_must_be_challenged_and_restored() {
    let (good, _) = after_network_reauthentication(true, 600, 600);
    assert_eq!(failures(&good), []);
    let (unchallenged, _) = after_network_reauthentication(false, 600, 600);
    assert_eq!(failures(&unchallenged), [Cause::NotChallenged]);
    let (short, _) = after_network_reauthentication(true, 300, 300);
    assert_eq!(failures(&short), [Cause::Lifetime]);
    for generator in [good, unchallenged, short] {
        assert_eq!(generator.ues[0].stage, Stage::Secured, "the connection is as good as before");
        assert_eq!(generator.state().under_way, 0);
    }
}

#[test]
fn a_notify_from_before_the_refresh_is_not_the_one_that_restores() {
    let (mut generator, is_refreshed) = after_network_reauthentication(true, 600, 60);
    assert!(!is_refreshed);
    let clock = generator.clock;
    generator.ues[0].lifetime.grant(clock, NOW, 600);
    generator.ues[0].lifetime.notify(clock, NOW, 600);
    assert!(generator.is_refreshed(0));
}

#[test]
fn a_call_that_fails_late_disturbs_no_later_procedure() {
    let mut generator = generator();
    let mut outbox = Outbox::new(4, 2048);
    let mut step = Step { now: NOW, outbox: &mut outbox };
    generator.ues[0].stage = Stage::Secured;
    generator.begin_identity_change(&mut step, 0, NOW);
    let call = generator.next_operator_call().unwrap();
    generator.complete(&step, 0);
    generator.begin_identity_change(&mut step, 0, NOW);
    generator.operator_failed(&mut step, call);
    assert_eq!(failures(&generator), []);
    let call = generator.next_operator_call().unwrap();
    generator.operator_failed(&mut step, call);
    assert_eq!(failures(&generator), [Cause::Operator]);
}

#[test]
fn offers_differ_in_spis_and_client_port_and_keep_the_server_port() {
    let generator = generator();
    let settings = &generator.settings;
    let side = |offer| {
        let ue = Ue { offer, ..Ue::default() };
        ue.client_side(7, &settings.ports_uc, settings.port_us)
    };
    assert_eq!((side(1).port_uc, side(1).port_us), (6100, 6101));
    for offer in 1..=64_u8 {
        let (one, next) = (side(offer), side(offer + 1));
        assert_ne!(one.spi_uc, next.spi_uc);
        assert_ne!(one.spi_us, next.spi_us);
        assert_ne!(one.port_uc, next.port_uc);
        assert_eq!(one.port_us, next.port_us);
        assert!(![next.port_us, 5060, 5061].contains(&one.port_uc));
    }
}
