//! A load that is held and goes on.

use imstorm_base::time::NS_PER_S;

use super::*;
use crate::measure::Start;

/// UEs that are always free, and whose procedures take no time.
struct Ready {
    measurements: Measurements,
    intended: Vec<Time>,
    now: Time,
}

impl Starter for Ready {
    fn all_started(&self) -> bool {
        true
    }

    fn is_quiet(&self) -> bool {
        true
    }

    fn strays(&self) -> u64 {
        0
    }

    fn start(&mut self, procedure: Procedure, intended: Time) -> bool {
        let start = Start { intended, began: self.now };
        self.measurements.attempted(procedure, start);
        self.measurements.completed(procedure, start, self.now);
        self.intended.push(intended);
        true
    }

    fn note_lateness(&mut self, _: u64) {}

    fn measurements(&mut self) -> &mut Measurements {
        &mut self.measurements
    }
}

/// Ten refreshes a second, at equal gaps, in a step of four seconds and one of a second.
fn offered() -> (Traffic, Ready) {
    let text = "name = \"p\"\n[population]\nsize = 10\n[arrivals]\nrate_per_s = 10\n[traffic]\n\
                process = \"constant\"\nsettle_s = 0\nmix = { refresh = { rate_per_s = 10 } }\n\
                steps = [{ for_s = 4, transient_s = 3 }, { for_s = 1 }]\n";
    let profile = Profile::parse("p.toml", text, &[]).unwrap();
    let traffic = Traffic::new(&profile, Random::new(1)).unwrap();
    (traffic, Ready { measurements: Measurements::new(), intended: Vec::new(), now: 0 })
}

/// Ticks ten times a second until then.
fn run(traffic: &mut Traffic, ready: &mut Ready, until_s: u64) {
    while ready.now < until_s * NS_PER_S {
        ready.now += NS_PER_S / 10;
        traffic.tick(ready.now, ready);
    }
}

#[test]
fn a_paused_load_goes_on_where_it_was() {
    let (mut traffic, mut ready) = offered();
    run(&mut traffic, &mut ready, 2);
    traffic.pause(ready.now);
    let before = ready.intended.len();
    assert_eq!(traffic.next_deadline(), None, "nothing is due, however long it lasts");
    run(&mut traffic, &mut ready, 7);
    assert_eq!((ready.intended.len(), before), (before, 19));
    traffic.resume(ready.now, &mut ready.measurements);
    run(&mut traffic, &mut ready, 20);
    assert!(traffic.is_over());
    // Nothing was dropped, and nothing was intended for the pause.
    assert_eq!(ready.intended.len(), 50);
    let in_pause = ready.intended.iter().filter(|at| (2 * NS_PER_S..7 * NS_PER_S).contains(*at));
    assert_eq!(in_pause.count(), 0);
    let steps = ready.measurements.steps().all();
    let began_at = steps[0].began_at;
    assert_eq!(
        steps[0].ended_at,
        Some(began_at + 9 * NS_PER_S),
        "as long as before, and the pause"
    );
    assert_eq!(steps[0].measured_from, began_at + 8 * NS_PER_S, "the transient as well");
    assert_eq!(steps[0].rows[0].tally.attempted, 10, "of the last of its four seconds");
    assert_eq!(steps[1].ended_at, Some(began_at + 10 * NS_PER_S));
}

#[test]
fn a_pause_before_the_load_puts_it_off() {
    let (mut traffic, mut ready) = offered();
    traffic.pause(0);
    run(&mut traffic, &mut ready, 3);
    assert!(ready.intended.is_empty() && traffic.next_deadline().is_none());
    traffic.resume(ready.now, &mut ready.measurements);
    run(&mut traffic, &mut ready, 20);
    assert_eq!(ready.intended.len(), 50);
    assert!(ready.intended[0] > 3 * NS_PER_S);
}

#[test]
fn a_stepped_rate_is_that_of_the_steps_to_come_too() {
    let (mut traffic, mut ready) = offered();
    run(&mut traffic, &mut ready, 2);
    let before = ready.intended.len();
    traffic.set_rate_percent(200);
    run(&mut traffic, &mut ready, 20);
    assert!(traffic.is_over());
    let steps = ready.measurements.steps().all();
    let second = |at: &&Time| steps[1].began_at <= **at;
    assert!((19..=20).contains(&ready.intended.iter().filter(second).count()));
    let first = ready.intended.len() - before - ready.intended.iter().filter(second).count();
    assert!((39..=42).contains(&first), "{first} in two seconds of the first one");
}
