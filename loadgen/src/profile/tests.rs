use super::*;

const MINIMAL: &str = "\
name = \"minimal\"

[population]
size = 10

[arrivals]
rate_per_s = 2.5
";

fn parse(text: &str) -> Result<Profile, ProfileError> {
    Profile::parse("p.toml", text, &[])
}

fn set(overrides: &[(&str, &str)]) -> Result<Profile, ProfileError> {
    let overrides: Vec<_> =
        overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Profile::parse("p.toml", MINIMAL, &overrides)
}

/// The error of the minimal profile with one piece of its text replaced.
fn error_with(from: &str, to: &str) -> String {
    assert_eq!(MINIMAL.matches(from).count(), 1, "{from}");
    parse(&MINIMAL.replace(from, to)).expect_err(to).to_string()
}

#[test]
fn built_in_profiles_load() {
    for (name, _) in builtin() {
        let profile = Profile::load(name, &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(profile.name, *name);
        assert!(!profile.description.is_empty());
    }
}

#[test]
fn quickstart_stays_under_a_minute() {
    let profile = Profile::load("quickstart", &[]).unwrap();
    let release = profile.procedures.release.unwrap();
    #[expect(clippy::cast_precision_loss, reason = "it is small")]
    let arrivals_s = profile.population.size as f64 / profile.arrivals.last_rate_per_s();
    let last_release_s = arrivals_s + release.after_s * (1.0 + release.jitter);
    assert!(last_release_s < 50.0, "{last_release_s} s leave too little for the rest");
    assert_eq!(profile.thresholds.len(), 3);
}

#[test]
fn lifecycle_has_every_procedure_of_connections_and_lets_none_fail() {
    let profile = Profile::load("lifecycle", &[]).unwrap();
    for procedure in crate::measure::Procedure::ALL {
        if matches!(
            procedure,
            crate::measure::Procedure::Registration
                | crate::measure::Procedure::Fallback
                | crate::measure::Procedure::FallbackReturn
                | crate::measure::Procedure::CallSetup
                | crate::measure::Procedure::CallRelease
                | crate::measure::Procedure::SessionRefresh
                | crate::measure::Procedure::Handover
                | crate::measure::Procedure::HandoverSecure
                | crate::measure::Procedure::HandoverSessions
                | crate::measure::Procedure::HandoverSubscriptions
                | crate::measure::Procedure::HandoverBindings
                | crate::measure::Procedure::HandoverRelease
                | crate::measure::Procedure::Interruption
                | crate::measure::Procedure::SubscriptionMove
                | crate::measure::Procedure::Switch
        ) {
            continue;
        }
        let condition = format!("procedures.{}.failed", procedure.name());
        assert_eq!(profile.thresholds[&condition], "== 0");
        if !matches!(
            procedure,
            crate::measure::Procedure::Secure | crate::measure::Procedure::Release
        ) {
            assert!(profile.procedures.plan(*procedure).count > 0, "{procedure:?}");
        }
    }
    // Nine minutes, with a life after the operator has ended one and after the UE has vanished.
    #[expect(clippy::cast_precision_loss, reason = "it is small")]
    let arrivals_s = profile.population.size as f64 / profile.arrivals.last_rate_per_s();
    let abandon = &profile.abandon;
    let vanished_s = abandon.secured_after_s + abandon.back_after_s.unwrap();
    let release = profile.procedures.network_release.unwrap();
    let ended_s = release.after_s * (1.0 + release.jitter);
    let own = profile.procedures.release.unwrap();
    let last_s = arrivals_s + vanished_s + ended_s + own.after_s * (1.0 + own.jitter);
    assert!(last_s < 480.0, "{last_s} s leave too little for the rest");
}

#[test]
fn only_what_the_operator_begins_needs_one() {
    let needs = |name: &str| Profile::load(name, &[]).unwrap().needs_operator();
    assert!(needs("identity-push") && needs("lifecycle") && needs("legacy-scscf"));
    assert!(!needs("quickstart") && !needs("attach-storm") && !needs("refresh-herd"));
}

#[test]
fn a_switch_names_a_pcscf_that_there_is() {
    let set = |key: &str, value: &str| {
        Profile::load("legacy-pcscf", &[(key.to_owned(), value.to_owned())])
    };
    let switches = |number: &str| {
        let switch = format!("{{ at_s = 1, role = \"pcscf\", {number} security_event = false }}");
        set("operator", &format!("[{switch}]"))
    };
    let plan =
        SwitchPlan { at_s: 1.0, role: SwitchRole::Pcscf, number: Some(2), security_event: false };
    assert_eq!(switches("number = 2,").unwrap().operator, [plan]);
    for number in ["0", "3"] {
        let error = switches(&format!("number = {number},")).expect_err("no such P-CSCF");
        assert!(error.to_string().contains("from 1 to 2"), "{error}");
    }
    let scscf = "[{ at_s = 1, role = \"scscf\", number = 1, security_event = true }]";
    set("operator", scscf).expect_err("there is one S-CSCF");
    let icscf = "[{ at_s = 1, role = \"icscf\", security_event = true }]";
    set("operator", icscf).expect_err("it has no such switch");
    let never = "[{ at_s = -1, role = \"scscf\", security_event = true }]";
    set("operator", never).expect_err("a time before now");
}

#[test]
fn quickstart_says_the_defaults() {
    // It shows each key: what it says must not differ from what leaving it out means.
    let profile = Profile::load("quickstart", &[]).unwrap();
    assert_eq!(profile.topology, Topology::default());
    assert_eq!(profile.ue, Ue::default());
    assert_eq!(profile.security, Security::default());
    assert_eq!(profile.limits, Limits::default());
    assert_eq!(profile.population.domain, default_domain());
    assert_eq!(profile.population.addresses, AddressBlock::default());
}

#[test]
fn what_is_left_out_has_defaults() {
    let profile = parse(MINIMAL).unwrap();
    assert_eq!(profile.arrivals.process, ArrivalProcess::Poisson);
    assert_eq!(profile.procedures.refresh.count, 0);
    assert_eq!(profile.procedures.release, None);
    assert_eq!(profile.security.algorithms.len(), 4);
    assert_eq!(profile.security.algorithms[0].suite(), Suite::ALL[0]);
    assert_eq!(profile.network, Network::default());
}

#[test]
fn overrides_replace_keys() {
    let profile = set(&[
        ("arrivals.rate_per_s", "100"),
        ("name", "soak"),
        ("population.addresses", "fd00::/64"),
        ("topology.pcscf", "[\"[fd01::1]:5060\"]"),
        ("procedures.release.after_s", "30.5"),
        ("thresholds.procedures.secure.failed", "== 0"),
        ("thresholds.\"procedures.refresh.failed\"", "== 1"),
        ("engine.shards", "2"),
        ("arrivals.rate_per_s", "200"),
    ])
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(profile.name, "soak");
    assert!((profile.arrivals.last_rate_per_s() - 200.0).abs() < 1e-9, "the last one counts");
    assert_eq!(profile.population.addresses.to_string(), "fd00::/64");
    assert_eq!(profile.topology.pcscf.len(), 1);
    assert_eq!(profile.procedures.release, Some(Release { after_s: 30.5, jitter: 0.0 }));
    assert_eq!(profile.thresholds["procedures.secure.failed"], "== 0");
    assert_eq!(profile.thresholds["procedures.refresh.failed"], "== 1");
    assert_eq!(profile.engine["shards"].as_integer(), Some(2));
    assert_eq!(profile.population.size, 10, "what isn't named stays");
}

#[test]
fn errors_point_at_the_spot() {
    let errors = [
        error_with("rate_per_s = 2.5", "rate_per_s = -3"),
        error_with("rate_per_s = 2.5", "rate_per_s = \"fast\""),
        error_with("rate_per_s = 2.5", "rate_per_s = nan"),
        error_with("rate_per_s", "rate"),
        error_with("size = 10", "size = 2_000_000"),
        error_with("size = 10", "size = -1"),
        error_with("size = 10", "size = 600_000\naccesses = 2"),
        error_with("size = 10", "size = 10\naccesses = 3"),
        error_with("size = 10", "size = 10\naddresses = \"127.16.0.1/12\""),
        error_with("size = 10", "size = 10\naddresses = \"fd00::/64\""),
        error_with("size = 10", "\tsize = \"größer\""),
        error_with("size = 10", "size = "),
        error_with("[arrivals]", "[ue]\nport_uc = 5060\n[arrivals]"),
        error_with("[arrivals]", "[ue]\nport = 65536\n[arrivals]"),
        error_with("[arrivals]", "[security]\nmode = \"trans\"\n[arrivals]"),
        error_with("[arrivals]", "[security]\nalgorithms = []\n[arrivals]"),
        error_with(
            "[arrivals]",
            "[security]\nalgorithms = [{ alg = \"hmac-sha-1-96\", ealg = \"rot13\" }]\n[arrivals]",
        ),
        error_with("[arrivals]", "[topology]\npcscf = [\"127.0.0.1\"]\n[arrivals]"),
        error_with("[arrivals]", "[network]\ndelay_ms = { min = 5, max = 4 }\n[arrivals]"),
        error_with("[arrivals]", "[network]\nloss = 5\n[arrivals]"),
        error_with("[arrivals]", "[procedures.message]\nafter_s = 1\n[arrivals]"),
        error_with("[arrivals]", "[procedures.call]\nafter_s = 1\n[arrivals]"),
        error_with("[arrivals]", "[procedures.handover]\nafter_s = 1\n[arrivals]"),
        error_with(
            "[arrivals]",
            "[procedures.register_over_connection]\nafter_s = 1\n[procedures.call]\nafter_s = 1\nring_s = 500\n[arrivals]",
        ),
        error_with(
            "[arrivals]",
            "[procedures.register_over_connection]\nafter_s = 1\n[procedures.call]\nafter_s = 1\nsession_expires_s = 60\n[arrivals]",
        ),
        error_with("[arrivals]", "[procedures.reauthenticate]\nafter_s = -1\n[arrivals]"),
        error_with(
            "[arrivals]",
            "[procedures.network_reauthenticate]\nafter_s = 1\nexpires_s = 600_000\n[arrivals]",
        ),
        error_with(
            "[arrivals]",
            "[procedures.network_release]\nafter_s = 1\nrejected_share = 0.1\n[arrivals]",
        ),
        error_with("[arrivals]", "[procedures.reg_event]\nafter_s = 1\nexpires_s = 0\n[arrivals]"),
        error_with(
            "[arrivals]",
            "[abandon]\nchallenge_share = 0.6\nsecured_share = 0.5\n[arrivals]",
        ),
        error_with("[arrivals]", "[procedures.refresh]\ncount = 1\n[arrivals]"),
        error_with("[arrivals]", "[procedures.release]\njitter = 0.5\n[arrivals]"),
        error_with("[arrivals]", "identities = 17\n[arrivals]"),
        error_with("[arrivals]", "devices = 3\n[arrivals]"),
        error_with("[arrivals]", "devices = 2\nsubscribers = \"a.csv\"\n[arrivals]"),
        error_with("[arrivals]", "[arrivels]"),
        error_with("name = \"minimal\"", ""),
    ];
    insta::assert_snapshot!(errors.join("\n\n"));
}

#[test]
fn errors_in_thresholds_point_at_the_spot() {
    let with = |line: &str| {
        let text = format!("{MINIMAL}\n[thresholds]\nprocedures.secure.failed = \"== 0\"\n{line}");
        parse(&text).expect_err(line).to_string()
    };
    let errors = [
        with("\"procedures.secure.p99\" = \"< 5\""),
        with("procedures.teleport.failed = \"== 0\""),
        with("procedures.secure.latency_us = \"< 5\""),
        with("failures.timeouts = \"== 0\""),
        with("ues.secured = \"!= 5\""),
        with("ues.secured = \"> many\""),
        with("ues.secured = 5"),
        with("\"procedures.secure.failed\" = \"== 0\""),
    ];
    insta::assert_snapshot!(errors.join("\n\n"));
}

#[test]
fn errors_in_overrides_point_at_the_override() {
    let error = |key, value| set(&[("name", "x"), (key, value)]).expect_err(key).to_string();
    let errors = [
        error("arrivals.rate_per_s", "fast"),
        error("arrivals.rate_per_s", "0"),
        error("arrivals.speed", "1"),
        error("population.size", "0"),
        error("arrivals rate", "1"),
        error("network.loss", "1.5"),
        error("name.first", "x"),
    ];
    insta::assert_snapshot!(errors.join("\n\n"));
}

#[test]
fn an_unknown_profile_is_an_error_that_names_the_known_ones() {
    let error = Profile::load("slowstart", &[]).unwrap_err();
    assert_eq!(error.location, None);
    assert!(error.to_string().starts_with("slowstart: expected a file or the name of a built-in"));
    assert!(error.to_string().contains("quickstart"), "{error}");
}

#[test]
fn address_blocks_give_each_ue_an_address() {
    let block: AddressBlock = "127.16.0.0/12".parse().unwrap();
    assert_eq!(block, AddressBlock::default());
    assert_eq!(block.capacity(), (1 << 20) - 2);
    assert_eq!(block.address(0), Some([127, 16, 0, 1].into()));
    assert_eq!(block.address(block.capacity() - 1), Some([127, 31, 255, 254].into()));
    assert_eq!(block.address(block.capacity()), None);
    assert_eq!(block.ue([127, 16, 1, 0].into()), Some(255));
    for outside in [[127, 15, 255, 255], [127, 16, 0, 0], [127, 31, 255, 255], [127, 32, 0, 0]] {
        assert_eq!(block.ue(outside.into()), None, "{outside:?}");
    }
    let one: AddressBlock = "10.0.0.1/32".parse().unwrap();
    assert_eq!((one.capacity(), one.address(0)), (1, Some([10, 0, 0, 1].into())));
    let two: AddressBlock = "fd00::/127".parse().unwrap();
    assert_eq!((two.capacity(), two.address(1)), (2, Some("fd00::1".parse().unwrap())));
    let all: AddressBlock = "::/0".parse().unwrap();
    assert_eq!(all.capacity(), u64::MAX);
    assert_eq!(all.ue(all.address(u64::MAX - 1).unwrap()), Some(u64::MAX - 1));
    let all: AddressBlock = "0.0.0.0/0".parse().unwrap();
    assert_eq!(all.address(all.capacity() - 1), Some([255, 255, 255, 254].into()));
    for bad in ["", "127.0.0.1", "127.0.0.0/33", "127.0.0.0/x", "::/129", "127.0.0.1/8", "/8"] {
        let error = bad.parse::<AddressBlock>().unwrap_err().to_string();
        assert!(error.starts_with("expected "), "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[a-z\\[\\]{}=\".0-9#\n\té -]{0,200}") {
        if let Err(error) = parse(&text) {
            assert!(error.to_string().lines().count() >= 1);
        }
    }

    #[test]
    fn no_override_panics(key in "[a-z\".= \n\\[]{0,30}", value in "[a-z\".=0-9 \n\\[{]{0,30}") {
        if let Err(error) = set(&[(&key, &value)]) {
            assert!(error.to_string().lines().count() >= 1);
        }
    }

    #[test]
    fn a_piece_put_anywhere_never_panics(
        at in 0..MINIMAL.len(),
        piece in "[\\[\\]=\"\n.é0-9]{1,4}",
    ) {
        let text = format!("{}{piece}{}", &MINIMAL[..at], &MINIMAL[at..]);
        if let Err(error) = parse(&text) {
            assert!(error.to_string().lines().count() >= 1);
        }
    }
}

#[test]
fn ues_that_register_go_without_what_subscriptions_have() {
    let registration = ("ue.access", "\"registration\"");
    assert_eq!(set(&[registration]).unwrap().ue.access, Access::Registration);
    let message = ("procedures.message.after_s", "1");
    assert!(set(&[registration, message]).is_ok(), "they can be reached");
    assert!(set(&[message]).is_err());
    for (name, more) in [
        ("reauthenticate", ""),
        ("identity_change", ""),
        ("network_reauthenticate", ", expires_s = 60"),
        ("network_release", ""),
        ("register_over_connection", ""),
    ] {
        let (key, value) = (format!("procedures.{name}"), format!("{{ after_s = 1{more} }}"));
        assert!(set(&[(&key, &value)]).is_ok(), "{name}");
        let error = set(&[registration, (&key, &value)]).expect_err(name).to_string();
        assert!(error.contains("UEs with a subscription"), "{error}");
    }
}

#[test]
fn only_subscriptions_can_be_fallen_back_from() {
    let fallback = ("ue.fallback_s", "60");
    assert_eq!(set(&[fallback]).unwrap().ue.fallback_s, Some(60.0));
    let error = set(&[fallback, ("ue.access", "\"registration\"")]).expect_err("registrations");
    assert!(error.to_string().contains("fallen back from"), "{error}");
    set(&[("ue.fallback_s", "-1")]).expect_err("a time before now");
}

#[test]
fn mixed_has_every_procedure_over_subscriptions_within_nine_minutes() {
    let profile = Profile::load("mixed", &[]).unwrap();
    let it = &profile.procedures;
    let (release, handover) = (it.release.as_ref().unwrap(), it.handover.as_ref().unwrap());
    assert!(it.refresh.count > 0 && it.reauthenticate.is_some() && it.reg_event.is_some());
    assert!(it.identity_change.is_some() && it.network_reauthenticate.is_some());
    assert!(it.network_release.is_some() && it.register_over_connection.is_some());
    assert!(it.message.is_some() && it.call.is_some() && profile.abandon.challenge_share > 0.0);
    let modes = [0, 1].map(|user| handover.mode.refreshes_target(user));
    assert_eq!((handover.mode, modes), (HandoverMode::Both, [false, true]));
    #[expect(clippy::cast_precision_loss, reason = "it is small")]
    let arrivals_s = profile.population.size as f64 / profile.arrivals.last_rate_per_s();
    // The last to leave has vanished, come back, been sent away, and come back again.
    let back_s = profile.abandon.secured_after_s + profile.abandon.back_after_s.unwrap();
    let sent_away = it.network_release.as_ref().unwrap();
    let away_s = sent_away.after_s * (1.0 + sent_away.jitter);
    let last_s = arrivals_s + back_s + away_s + release.after_s * (1.0 + release.jitter);
    assert!(last_s < 480.0, "{last_s} s leave too little for calls that end");
}

#[test]
fn ues_without_security_go_without_what_needs_it() {
    let plain = "access = \"registration\"\naccess_security = \"none\"\n";
    let parse = |ue: &str, more: &str| {
        let text = format!(
            "name = \"p\"\n[population]\nsize = 2\n[arrivals]\nrate_per_s = 1\n[ue]\n{ue}\n{more}"
        );
        Profile::parse("p.toml", &text, &[]).map_err(|error| error.to_string())
    };
    let shared = format!("{plain}shared_address = true\n");
    let calls = "[procedures.call]\nafter_s = 0\ntarget = \"sip:a@127.0.0.1\"\n";
    assert!(parse(plain, "").is_ok() && parse(&shared, calls).is_ok());
    assert!(parse(&format!("{shared}register = false"), calls).is_ok());
    for (ue, more, field) in [
        ("access_security = \"none\"", "", "ue.access_security"),
        ("access_security = \"some\"", "", "access_security"),
        ("shared_address = true", "", "ue.shared_address"),
        ("t1_ms = 500", "", "ue.t1_ms"),
        (&format!("{plain}t1_ms = 5"), "", "ue.t1_ms"),
        (&format!("{plain}register = false"), "", "ue.register"),
        (plain, calls, "procedures.call.target"),
        (&format!("{shared}register = false"), "", "ue.register"),
        (
            &format!("{shared}register = false"),
            &format!("{calls}[procedures.release]\nafter_s = 1\n"),
            "ue.register",
        ),
        (&shared, "[procedures.call]\nafter_s = 0\n", "procedures.call.target"),
        (&shared, &calls.replace("sip:a@127.0.0.1", "tel:+1"), "procedures.call.target"),
        (&shared, &format!("{calls}abandoned_share = 0.5\n"), "procedures.call.abandoned_share"),
        (&shared, "[procedures.message]\nafter_s = 1\n", "procedures.message"),
        (&shared, "[abandon]\nchallenge_share = 0.5\n", "abandon"),
        (plain, "[procedures.handover]\nafter_s = 1\n", "procedures.handover"),
    ] {
        let error = parse(ue, more).expect_err(field);
        assert!(error.contains(field), "{field}: {error}");
    }
}
