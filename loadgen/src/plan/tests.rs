//! Plans of profiles that come with imstorm, and of some that don't fit.

use super::*;

fn plan(name: &str, overrides: &[(&str, &str)], memory_bytes: u64) -> Plan {
    let set: Vec<_> =
        overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let profile = Profile::load(name, &set).unwrap_or_else(|error| panic!("{error}"));
    Plan::new(&profile, Assumptions { procedure_s: 0.05, memory_bytes, engine_here: true })
}

const PLENTY: u64 = 64 << 30;

#[test]
fn a_plan_for_a_person() {
    insta::assert_snapshot!(plan("steps", &[], PLENTY).to_text());
}

#[test]
fn what_procedures_cost_is_what_the_flows_on_paper_have() {
    let plan = plan("mixed", &[], PLENTY);
    let of = |name: &str| {
        plan.costs.iter().find(|(known, _)| known == name).map(|(_, cost)| cost.gm_messages)
    };
    // SUBSCRIBE, 401, SUBSCRIBE, 200, NOTIFY, 200.
    assert_eq!(of("secure"), Some(6.0));
    assert_eq!(of("refresh"), Some(4.0), "SUBSCRIBE, 200, NOTIFY, 200");
    assert_eq!(of("register_over_connection"), Some(2.0));
    // MESSAGE and 200 at either party.
    assert_eq!(of("message"), Some(4.0));
    // INVITE, 100, 183, PRACK, 200, 200, ACK, BYE, 200 at the caller; the same without the 100 that the callee does not send, and a 180 at both.
    assert_eq!(of("call_setup"), Some(19.0));
    assert!(plan.costs.iter().all(|(_, cost)| cost.gm_bytes > 100.0 * cost.gm_messages));
}

#[test]
fn littles_law_says_what_goes_on_at_one_time() {
    let plan = plan("steps", &[("traffic.steps", "[{ for_s = 10, load = 2 }]")], PLENTY);
    let offer = plan.offers.iter().find(|it| it.phase == "step 1" && it.procedure == "refresh");
    let offer = offer.unwrap();
    // At most 100 ms each.
    assert_eq!((offer.rate_per_s, offer.starts, offer.in_flight), (200.0, 2_000.0, 20.0));
    let step = plan.phases.last().unwrap();
    // 200 refreshes and 100 messages with 4 each, 20 calls with 19; a call rings for a second and may take 200 ms more.
    assert_eq!((step.per_s.gm_messages, step.in_flight), (1_580.0, 20.0 + 10.0 + 24.0));
    assert!(plan.misfits.is_empty(), "{:?}", plan.misfits);
}

#[test]
fn what_will_not_fit_is_said() {
    let fits =
        |overrides: &[(&str, &str)], memory| plan("steps", overrides, memory).misfits.join("; ");
    assert_eq!(fits(&[], PLENTY), "");
    assert!(fits(&[], 100 << 20).starts_with("memory: 200"), "{}", fits(&[], 100 << 20));
    let busy = fits(&[("traffic.mix.refresh.rate_per_s", "20000")], PLENTY);
    assert!(
        busy.contains("step 1: 2017 procedures go on at one time, and there are 2000 UEs"),
        "{busy}"
    );
    let short = fits(&[("limits.duration_s", "60")], PLENTY);
    assert_eq!(short, "time: bring-up and steps take 101 s, and limits.duration_s is 60 s");
    let fresh = [("traffic.bring_up", "1900"), ("traffic.mix.secure.rate_per_s", "1")];
    assert!(fits(&fresh, PLENTY).starts_with("UEs: the mix sets up 2"), "{}", fits(&fresh, PLENTY));
    let doubtful = plan("capacity", &[("traffic.capacity.attempts_max", "1000")], PLENTY).misfits;
    assert_eq!(
        doubtful,
        ["attempts: no step can be good before 3688, and traffic.capacity.attempts_max is 1000"]
    );
}

#[test]
fn a_part_has_its_share() {
    let mut profile = Profile::load("steps", &[]).unwrap();
    let assumptions = Assumptions { procedure_s: 0.05, memory_bytes: PLENTY, engine_here: true };
    let whole = Plan::new(&profile, assumptions);
    profile.part = "3/4".parse().unwrap();
    let part = Plan::new(&profile, assumptions);
    assert_eq!((whole.ues, part.ues), (2_000, 500));
    assert_eq!(part.bring_up_s, whole.bring_up_s);
    for (mine, all) in part.offers.iter().zip(&whole.offers) {
        assert!((mine.rate_per_s * 4.0 - all.rate_per_s).abs() < 1e-6, "{mine:?}");
    }
}
