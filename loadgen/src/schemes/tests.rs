//! Rows, conclusions and pages, of made-up reports.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::course::CourseStep;
use crate::measure::{Latency, Measurements, Procedure, Start};
use crate::profile::Profile;
use crate::report::{CourseReport, Outcome, Report, Sessions, StepReport};

const USERS: u64 = 10;

fn profile() -> Profile {
    let text = "name = \"sample\"\n[population]\nsize = 10\n[arrivals]\nrate_per_s = 1\n";
    Profile::parse("sample.toml", text, &[]).unwrap()
}

/// A step that succeeded for all: two messages at Gm and one at Mw for each user, the median 10 ms.
fn step(step: CourseStep) -> StepReport {
    let users = if step.is_of_callers() { USERS / 2 } else { USERS };
    StepReport {
        step: step.name(),
        users,
        failed: 0,
        causes: BTreeMap::new(),
        latency_us: Latency {
            p50: 10_000,
            p90: 20_000,
            p99: 30_000,
            max: 40_000,
            ..Latency::default()
        },
        gm_messages: 2 * users,
        gm_bytes: 2_000 * users,
        mw_messages: users,
        mw_bytes: 900 * users,
        engine_cpu_us: 100.0 * users as f64,
        pcscf_associations: 8 * users,
        ue_associations: 8 * users,
        pcscf_bytes: 3_000 * users,
        scscf_bytes: 4_000 * users,
        sessions_lost: 0,
    }
}

/// A course in which all went well.
fn course() -> CourseReport {
    CourseReport {
        broken_step: None,
        suites: BTreeMap::from([("hmac-sha-1-96/aes-cbc".to_owned(), 4 * USERS)]),
        steps: CourseStep::ALL.iter().map(|it| step(*it)).collect(),
    }
}

/// A course that breaks there for some.
fn broken_at(broken: CourseStep, failed: u64) -> CourseReport {
    let mut course = course();
    course.broken_step = Some(broken.name());
    let step = of(&mut course, broken);
    step.failed = failed;
    step.causes = BTreeMap::from([("timeout".to_owned(), failed)]);
    course
}

fn of(course: &mut CourseReport, step: CourseStep) -> &mut StepReport {
    course.steps.iter_mut().find(|it| it.step == step.name()).unwrap()
}

fn report(course: Option<CourseReport>) -> Report {
    report_of(course, &Measurements::new(), Vec::new())
}

fn report_of(
    course: Option<CourseReport>,
    measurements: &Measurements,
    invalid_reasons: Vec<String>,
) -> Report {
    let lost = course.iter().flat_map(|it| &it.steps).map(|step| step.sessions_lost).sum();
    let sessions = Sessions { lost, ..Sessions::default() };
    let outcome = Outcome { course, sessions, invalid_reasons, ..Outcome::default() };
    Report::new(&profile(), measurements, outcome)
}

fn variant(name: &str) -> Variant {
    Variant::all().find(|it| it.name() == name).unwrap()
}

fn row(courses: &[CourseReport]) -> Row {
    let reports: Vec<Report> = courses.iter().map(|it| report(Some(it.clone()))).collect();
    Row::new(&variant("outbound-2-impi-contact-impi-contact"), &reports)
}

#[test]
fn what_went_well_in_all_runs_works() {
    let row = row(&[course(), course()]);
    assert_eq!((row.works, row.broken_step, row.causes.len()), (true, None, 0));
    assert_eq!((row.scheme, row.pcscfs, row.users), ("outbound", 2, USERS));
    assert_eq!((row.ue_sa_policy, row.pcscf_sa_policy), ("impi-contact", "impi-contact"));
    assert_eq!((row.sas_lost, row.sessions_lost), (0, 0));
    assert_eq!(row.pcscf_sas_per_ue, 8.0);
    assert_eq!((row.pcscf_bytes_per_ue, row.scscf_bytes_per_ue), (3_000.0, 4_000.0));
    let names: Vec<&str> = row.procedures.keys().copied().collect();
    let all = ["add_access", "attach", "handover", "leave", "reauthentication", "refresh"];
    assert_eq!(names, all);
    let attach = &row.procedures["attach"];
    assert_eq!((attach.users, attach.failed), (USERS, 0));
    assert_eq!((attach.messages_gm, attach.messages_mw), (2.0, 1.0));
    assert_eq!((attach.bytes_gm, attach.bytes_mw), (2_000.0, 900.0));
    assert_eq!(attach.engine_cpu_us, 100.0);
    // For each of those who move.
    assert_eq!(
        (row.procedures["handover"].users, row.procedures["handover"].messages_gm),
        (5, 2.0)
    );
    assert_eq!(row.suites["hmac-sha-1-96/aes-cbc"], 8 * USERS);
}

#[test]
fn each_step_that_fails_is_of_a_procedure_that_a_reader_knows() {
    for (broken, procedure) in [
        (CourseStep::Attach, "attach"),
        (CourseStep::AddAccess, "add_access"),
        (CourseStep::Check, "add_access"),
        (CourseStep::Refresh, "refresh"),
        (CourseStep::Reauthenticate, "reauthentication"),
        (CourseStep::CheckAgain, "reauthentication"),
        (CourseStep::Both, "reauthentication"),
        (CourseStep::LeaveOne, "leave"),
        (CourseStep::Call, "handover"),
        (CourseStep::Handover, "handover"),
        (CourseStep::HangUp, "handover"),
        (CourseStep::Leave, "leave"),
    ] {
        // One user in one of three runs is enough.
        let row = row(&[course(), broken_at(broken, 1), course()]);
        assert_eq!((row.works, row.broken_step), (false, Some(procedure)), "{broken:?}");
        assert_eq!(row.causes, BTreeMap::from([("timeout".to_owned(), 1)]), "{broken:?}");
    }
}

#[test]
fn associations_that_either_end_has_lost_are_counted_once_requests_went_over_both() {
    let mut by_ue = course();
    of(&mut by_ue, CourseStep::Check).ue_associations = 4 * USERS;
    let mut by_both = by_ue.clone();
    of(&mut by_both, CourseStep::Check).pcscf_associations = 6 * USERS;
    let mut later = course();
    of(&mut later, CourseStep::Refresh).pcscf_associations = 0;
    let lost = |course: &CourseReport| row(std::slice::from_ref(course)).sas_lost;
    assert_eq!([lost(&by_ue), lost(&by_both), lost(&later)], [4 * USERS, 4 * USERS, 0]);
    assert_eq!(row(&[by_ue.clone(), by_both]).sas_lost, 8 * USERS);
    // Nothing has failed yet, and it does not work.
    let row = row(&[by_ue]);
    assert_eq!((row.works, row.broken_step), (false, Some("add_access")));
}

#[test]
fn associations_that_are_lost_come_before_what_fails_for_want_of_them() {
    let lost = |broken: CourseStep| {
        let mut course = broken_at(broken, 3);
        of(&mut course, CourseStep::Check).pcscf_associations = 4 * USERS;
        row(&[course]).broken_step
    };
    assert_eq!(lost(CourseStep::Handover), Some("add_access"));
    assert_eq!(lost(CourseStep::Attach), Some("attach"));
}

#[test]
fn a_course_that_is_not_complete_does_not_work() {
    let mut cut = course();
    cut.steps.truncate(6);
    let row_of_cut = row(&[course(), cut]);
    assert_eq!((row_of_cut.works, row_of_cut.broken_step), (false, None));
    let reports = [report(Some(course())), report(None)];
    let row = Row::new(&variant("outbound-1-impi-impi"), &reports);
    assert_eq!((row.works, row.broken_step), (false, None), "a run has no course");
}

#[test]
fn sessions_that_were_lost_and_doubts_are_those_of_all_runs() {
    let mut course = course();
    of(&mut course, CourseStep::Handover).sessions_lost = 2;
    let doubt = "the generator was late".to_owned();
    let reports = [
        report(Some(course.clone())),
        report_of(Some(course), &Measurements::new(), vec![doubt.clone()]),
    ];
    let row = Row::new(&variant("outbound-1-impi-impi"), &reports);
    assert_eq!((row.sessions_lost, row.doubts), (4, vec![doubt]));
}

#[test]
fn one_run_has_no_confidence_intervals_and_several_have_students() {
    let courses: Vec<CourseReport> = [20, 24, 28]
        .into_iter()
        .map(|messages| {
            let mut course = course();
            of(&mut course, CourseStep::Attach).gm_messages = messages;
            of(&mut course, CourseStep::Attach).latency_us.p50 = 1_000 * messages;
            course
        })
        .collect();
    assert_eq!(row(&courses[..1]).procedures["attach"].confidence, BTreeMap::new());
    let attach = &row(&courses).procedures["attach"];
    assert_eq!((attach.messages_gm, attach.latency_us["p50"]), (2.4, 24_000.0));
    // For each user: 2.0, 2.4 and 2.8, so that s = 0.4; t(2) = 4.303, over √3.
    let [low, high] = attach.confidence["messages_gm"];
    assert!((low - (2.4 - 0.9937)).abs() < 1e-3 && (high - (2.4 + 0.9937)).abs() < 1e-3);
    let [low, high] = attach.confidence["latency_us.p50"];
    assert!((low - 14_063.0).abs() < 1.0 && (high - 33_937.0).abs() < 1.0, "{low} {high}");
    assert_eq!(attach.confidence["bytes_gm"], [2_000.0; 2], "where all runs are alike");
}

#[test]
fn what_failed_for_all_took_no_time() {
    let mut failed = broken_at(CourseStep::Refresh, USERS);
    of(&mut failed, CourseStep::Refresh).latency_us = Latency::default();
    let of_one = row(&[failed.clone()]);
    assert_eq!(of_one.procedures["refresh"].latency_us, BTreeMap::new());
    assert_eq!(of_one.procedures["refresh"].failed, USERS);
    let of_two = row(&[failed, course()]);
    assert_eq!(of_two.procedures["refresh"].latency_us["p50"], 10_000.0, "of who got through");
}

#[test]
fn a_handover_has_its_interruption_and_nothing_else_does() {
    let mut measurements = Measurements::new();
    measurements.attempted(Procedure::Interruption, Start::default());
    measurements.completed(Procedure::Interruption, Start::default(), 7_000_000);
    let reports = [report_of(Some(course()), &measurements, Vec::new())];
    let row = Row::new(&variant("outbound-1-impi-impi"), &reports);
    let p50_us = row.procedures["handover"].interruption_us.as_ref().unwrap()["p50"];
    assert!((p50_us - 7_000.0).abs() < 70.0, "{p50_us}");
    let others = row.procedures.iter().filter(|(name, _)| **name != "handover");
    assert!(others.into_iter().all(|(_, cell)| cell.interruption_us.is_none()));
}

/// The rows as the paper has them.
fn rows_of_the_paper() -> Vec<Row> {
    let (works, breaks) =
        (report(Some(course())), report(Some(broken_at(CourseStep::Check, USERS))));
    let row = |variant: Variant| {
        let name = variant.name();
        let is_changed =
            ["1-impi-contact-impi-contact", "2-impi-contact-impi", "2-impi-contact-impi-contact"];
        let does_work = match variant.scheme.name() {
            "registration" => false,
            "modified-impi" | "modified-impi+outbound" | "modified-impi+connectivity-check" => true,
            scheme => is_changed.iter().any(|it| name == format!("{scheme}-{it}")),
        };
        Row::new(&variant, std::slice::from_ref(if does_work { &works } else { &breaks }))
    };
    Variant::all().map(row).collect()
}

/// In the order of the paper's statements.
const STATEMENTS: usize = 8;

/// The numbers of the conclusions that do not hold.
fn refuted(rows: &[Row]) -> Vec<usize> {
    let all = conclusion::conclusions(rows);
    assert_eq!(all.len(), STATEMENTS);
    let refuted = all.iter().enumerate().filter(|(_, it)| !it.holds);
    refuted.map(|(number, _)| number).collect()
}

#[test]
fn rows_as_the_paper_has_them_bear_out_all_conclusions() {
    let rows = rows_of_the_paper();
    assert_eq!(rows.len(), 42);
    assert_eq!(refuted(&rows), Vec::<usize>::new());
}

#[test]
fn one_row_that_speaks_against_a_conclusion_refutes_it_and_no_other() {
    type Change = fn(&mut Row);
    let works: Change = |row| (row.works, row.broken_step) = (true, None);
    let breaks: Change = |row| (row.works, row.broken_step) = (false, Some("add_access"));
    let breaks_later: Change = |row| row.broken_step = Some("handover");
    let is_weaker: Change =
        |row| row.suites = BTreeMap::from([("hmac-md5-96/null".to_owned(), 40)]);
    let agrees_on_nothing: Change = |row| row.suites.clear();
    let is_not_attached: Change = |row| row.procedures.get_mut("attach").unwrap().failed = 1;
    let is_not_authenticated: Change =
        |row| row.procedures.get_mut("reauthentication").unwrap().failed = 1;
    let lacks_reauthentication: Change = |row| {
        row.procedures.remove("reauthentication");
    };
    for (conclusion, variant, change) in [
        (0, "registration-2-impi-contact-impi-contact", works),
        (0, "registration-1-impi-impi", breaks_later),
        (1, "connectivity-check-1-impi-contact-impi-contact", is_weaker),
        (1, "modified-impi-2-impi-contact-impi-contact", agrees_on_nothing),
        (1, "outbound-2-impi-contact-impi-contact", is_not_attached),
        (2, "connectivity-check-2-impi-contact-impi-contact", is_not_authenticated),
        (2, "modified-impi-2-impi-contact-impi-contact", lacks_reauthentication),
        (3, "outbound-1-impi-contact-impi", works),
        (3, "connectivity-check-1-impi-contact-impi", breaks_later),
        (4, "connectivity-check-2-impi-impi", works),
        (5, "outbound-2-impi-contact-impi", breaks),
        (6, "modified-impi-1-impi-impi", breaks),
        (7, "modified-impi+outbound-1-impi-impi", breaks),
        (7, "modified-impi+connectivity-check-2-impi-impi", breaks_later_too),
    ] {
        let mut rows = rows_of_the_paper();
        let place = Variant::all().position(|it| it.name() == variant).unwrap();
        change(&mut rows[place]);
        assert_eq!(refuted(&rows), [conclusion], "{variant}");
        let found = &conclusion::conclusions(&rows)[conclusion];
        let Row { scheme, pcscfs, ue_sa_policy, pcscf_sa_policy, .. } = &rows[place];
        let row = format!("{scheme}, {pcscfs} P-CSCF, {ue_sa_policy}/{pcscf_sa_policy}");
        assert_eq!(found.against, [row], "{variant}");
    }
}

fn breaks_later_too(row: &mut Row) {
    (row.works, row.broken_step) = (false, Some("handover"));
}

#[test]
fn what_no_row_shows_does_not_hold() {
    assert_eq!(refuted(&[]), Vec::from_iter(0..STATEMENTS));
    assert!(conclusion::conclusions(&[]).iter().all(|it| it.against.is_empty()));
    let mut rows = rows_of_the_paper();
    rows.retain(|row| row.scheme != "registration");
    assert_eq!(refuted(&rows), [0]);
    rows.retain(|row| row.scheme != "modified-impi");
    assert_eq!(refuted(&rows), [0, 6]);
    rows.retain(|row| row.ue_sa_policy != "impi");
    assert_eq!(refuted(&rows), [0, 4, 6]);
}

fn comparison(rows: Vec<Row>) -> Comparison {
    Comparison {
        profile: "sample".to_owned(),
        users: USERS,
        seed: 1,
        repeats: 1,
        deviations: Vec::new(),
        delay_ms: None,
        conclusions: conclusion::conclusions(&rows),
        rows,
    }
}

#[test]
fn a_spreadsheet_has_a_line_for_each_row_and_procedure() {
    let text = csv::render(&comparison(rows_of_the_paper()));
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 1 + 42 * 6);
    let header = &lines[0];
    assert!(lines.iter().all(|line| line.len() == header.len()));
    let names: BTreeSet<&str> = header.iter().copied().collect();
    assert_eq!(names.len(), header.len(), "no name twice");
    let field = |line: &[&str], name: &str| {
        line[header.iter().position(|it| *it == name).unwrap()].to_owned()
    };
    let rows: BTreeSet<String> = lines[1..].iter().map(|line| line[..4].join(",")).collect();
    assert_eq!(rows.len(), 42);
    let attach = lines.iter().find(|line| field(line, "procedure") == "attach").unwrap();
    assert_eq!(field(attach, "scheme"), "registration");
    assert_eq!(
        (field(attach, "works"), field(attach, "broken_step")),
        ("false".into(), "add_access".into())
    );
    assert_eq!(
        (field(attach, "messages_gm"), field(attach, "latency_p50_us")),
        ("2.00".into(), "10000.00".into())
    );
    assert_eq!(field(attach, "interruption_p50_us"), "", "it has none");
}

/// Three rows, of which two break, one of them against the paper; a deviation, delays, and what could be taken for markup.
fn small_comparison() -> Comparison {
    let mut measurements = Measurements::new();
    measurements.attempted(Procedure::Interruption, Start::default());
    measurements.completed(Procedure::Interruption, Start::default(), 7_000_000);
    let works = [report_of(Some(course()), &measurements, Vec::new())];
    let mut broken = broken_at(CourseStep::Check, 8);
    of(&mut broken, CourseStep::Check).causes =
        BTreeMap::from([("timeout".to_owned(), 3), ("a<b & \"c\"".to_owned(), 5)]);
    of(&mut broken, CourseStep::Handover).sessions_lost = 5;
    of(&mut broken, CourseStep::Check).ue_associations = 4 * USERS;
    let mut refresh_failed = broken;
    of(&mut refresh_failed, CourseStep::Refresh).failed = USERS;
    let breaks = [report_of(Some(refresh_failed), &Measurements::new(), vec!["late".to_owned()])];
    let rows = vec![
        Row::new(&variant("registration-2-impi-contact-impi-contact"), &breaks),
        Row::new(&variant("outbound-2-impi-contact-impi-contact"), &works),
        Row::new(
            &variant("modified-impi-2-impi-contact-impi-contact"),
            &[report(Some(broken_at(CourseStep::Handover, 2)))],
        ),
    ];
    Comparison {
        profile: "a<b & \"c\".toml".to_owned(),
        repeats: 2,
        deviations: vec!["T1 is other".to_owned()],
        delay_ms: Some([40.0, 10.5]),
        ..comparison(rows)
    }
}

#[test]
fn the_text_is_as_ever() {
    insta::assert_snapshot!("markdown", markdown::render(&small_comparison()));
}

#[test]
fn one_run_is_one_run() {
    let text = markdown::render(&comparison(rows_of_the_paper()));
    assert!(text.contains("10 users with two accesses each, 1 run for each row, seed 1.\n"));
    assert!(text.contains("No link delays: latencies are the loopback's.\n"));
}

/// The elements of a page, each closed by its own end tag; the text between them.
fn elements(page: &str) -> (BTreeMap<&str, usize>, String) {
    const VOID: [&str; 3] = ["!doctype", "meta", "rect"];
    let (mut open, mut counts, mut text) = (Vec::new(), BTreeMap::new(), String::new());
    for part in page.split('<').skip(1) {
        let (tag, after) = part.split_once('>').expect("a tag ends");
        text.push_str(after);
        let name = tag.split([' ', '\n']).next().expect("a name").trim_end_matches('/');
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{tag}"),
            None => {
                *counts.entry(name).or_default() += 1;
                if !VOID.contains(&name) {
                    open.push(name);
                }
            }
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    (counts, text)
}

#[test]
fn the_page_has_every_row_and_nothing_from_elsewhere() {
    let comparison = comparison(rows_of_the_paper());
    let page = html::render(&comparison);
    let (counts, _) = elements(&page);
    // Seven schemes by what works, six procedures by seven, and all rows; four heads of rows above them.
    assert_eq!(counts["tr"], 7 + 6 * 7 + 42 + 2 + 6 + 1);
    assert_eq!((counts["table"], counts["h1"], counts["li"]), (8, 1, STATEMENTS + 2));
    assert!(!counts.contains_key("script") && !counts.contains_key("link"));
    for reference in ["src=", "href=", "url(", "@import", "http:", "https:"] {
        assert!(!page.contains(reference), "{reference}");
    }
    let (_, all_rows) = page.split_once("<h2>All rows</h2>").unwrap();
    let details: Vec<&str> = all_rows.split("<tr>").skip(2).collect();
    assert_eq!(details.len(), comparison.rows.len());
    for (row, shown) in comparison.rows.iter().zip(details) {
        let Row { scheme, pcscfs, ue_sa_policy, pcscf_sa_policy, works, .. } = row;
        assert!(shown.contains(&format!(
            "<code>{scheme}</code></th><td>{pcscfs}</td><td>{ue_sa_policy} / {pcscf_sa_policy}</td>"
        )));
        assert_eq!(shown.contains("<td class=\"good\">works</td>"), *works, "{shown}");
    }
    assert!(
        page.contains(
            "<p class=\"verdict\">8 of 8 conclusions of the paper are what was seen.</p>"
        )
    );
}

#[test]
fn what_a_page_takes_from_outside_is_text() {
    let page = html::render(&small_comparison());
    let (counts, text) = elements(&page);
    assert!(!counts.contains_key("b"));
    assert_eq!(text.matches("a&lt;b &amp; &quot;c&quot;").count(), 2, "profile and cause");
    assert!(text.contains("Deviation: T1 is other."));
    assert!(text.contains("One-way delay 40 ms over the first access, 10.5 ms over the second."));
    assert!(text.contains("In 1 row the load generator could not keep its times"));
    assert!(text.contains("Against it: modified-impi, 2 P-CSCF, impi-contact/impi-contact."));
    assert!(text.contains("2 runs of each row"));
    // The other variants are not there.
    assert_eq!(
        text.matches('–').count(),
        39 + 2,
        "and the refresh that failed for all has no latencies"
    );
}

#[test]
fn the_file_has_the_keys_that_its_readers_know() {
    let json: serde_json::Value =
        serde_json::from_str(&comparison(rows_of_the_paper()).to_json()).unwrap();
    let rows = json["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 42);
    for row in rows {
        assert!(row["scheme"].is_string() && row["pcscfs"].is_u64());
        assert!(row["ue_sa_policy"].is_string() && row["pcscf_sa_policy"].is_string());
        assert!(row["works"].is_boolean());
        assert_eq!(row["broken_step"].is_null(), row["works"] == true);
        assert!(row["sessions_lost"].is_u64() && row["sas_lost"].is_u64());
        for name in ["attach", "add_access", "refresh", "reauthentication", "handover", "leave"] {
            let cell = &row["procedures"][name];
            for key in ["messages_gm", "messages_mw", "bytes_gm", "bytes_mw", "engine_cpu_us"] {
                assert!(cell[key].is_f64(), "{name}.{key}");
            }
            assert!(cell["latency_us"]["p50"].is_f64() && cell["latency_us"]["p99"].is_f64());
        }
    }
    assert_eq!(json["conclusions"].as_array().unwrap().len(), STATEMENTS);
    assert_eq!(json["conclusions"][0]["holds"], true);
}
