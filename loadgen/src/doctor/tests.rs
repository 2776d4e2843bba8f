use super::machine::{core_list, files_max, port_range, quota_cores, steal_share};
use super::*;
use crate::plan::Assumptions;

fn profile() -> Profile {
    Profile::load("quickstart", &[]).unwrap()
}

fn plan(profile: &Profile, memory_bytes: u64) -> Plan {
    Plan::new(profile, Assumptions { procedure_s: 0.05, memory_bytes, engine_here: true })
}

/// A machine as one would wish it to be.
fn good() -> Machine {
    let port = |of, address: &str| Port { of, address: address.parse().unwrap(), refused: None };
    Machine {
        kernel: "6.18.5-1-amd64".to_owned(),
        receive_buffer: Some(Ok(16 << 20)),
        ephemeral_ports: Some((32_768, 60_999)),
        files_max: Some(1_024),
        cores: vec![0, 1, 2],
        siblings: vec![vec![0], vec![1], vec![2]],
        governor: Some("performance".to_owned()),
        steal_share: Some(0.0),
        memory_bytes: Some(8 << 30),
        clocks: Some(("tsc".to_owned(), vec!["tsc".to_owned(), "hpet".to_owned()])),
        timer_slack_ns: Some(1),
        lanes: "avx512",
        processor: "A Processor".to_owned(),
        tracked: Some((12, 262_144)),
        backlog: Some(1_000),
        ports: vec![
            port("P-CSCF", "127.0.0.1:5060"),
            port("P-CSCF, ESP", "127.0.0.1:4500"),
            port("core, Mw", "127.0.0.1:6060"),
            port("UEs", "0.0.0.0:5070"),
            port("UEs, ESP", "0.0.0.0:4500"),
        ],
        ..Machine::default()
    }
}

/// One on which nothing is as it should be, and yet runs are possible.
fn bad() -> Machine {
    let mut machine = Machine {
        kernel: "5.10.0".to_owned(),
        io_uring_refused: Some("io_uring: Operation not permitted (os error 1)".to_owned()),
        io_uring_disabled: Some(2),
        segments_refused: Some("Protocol not available (os error 92)".to_owned()),
        receive_buffer: Some(Ok(212_992 / 2)),
        ephemeral_ports: Some((1_024, 65_535)),
        files_max: Some(64),
        cores: vec![0, 1],
        siblings: vec![vec![0, 1], vec![0, 1]],
        quota_cores: Some(1.5),
        governor: Some("powersave".to_owned()),
        steal_share: Some(0.031),
        memory_bytes: Some(100 << 20),
        clocks: Some(("hpet".to_owned(), vec!["hpet".to_owned(), "tsc".to_owned()])),
        timer_slack_ns: Some(50_000),
        lanes: "portable",
        tracked: Some((60_000, 65_536)),
        backlog: Some(300),
        address_refused: Some(
            "127.16.0.1: Cannot assign requested address (os error 99)".to_owned(),
        ),
        ..good()
    };
    for port in &mut machine.ports {
        port.refused = Some("Address already in use (os error 98)".to_owned());
    }
    machine
}

fn diagnosis(machine: &Machine) -> Diagnosis {
    let profile = profile();
    let plan = plan(&profile, machine.memory_bytes.unwrap_or(0));
    Diagnosis::new(machine, &profile, &plan)
}

#[test]
fn a_good_machine_and_a_bad_one() {
    insta::assert_snapshot!("good", diagnosis(&good()).to_text());
    insta::assert_snapshot!("bad", diagnosis(&bad()).to_text());
}

#[test]
fn whatever_is_not_well_says_what_it_means_and_most_of_it_what_to_do() {
    let machines = [good(), bad(), Machine::default(), worst()];
    for finding in machines.iter().flat_map(|machine| diagnosis(machine).findings) {
        assert_eq!(finding.means.is_empty(), finding.state == State::Ok, "{finding:?}");
        assert!(!finding.found.is_empty(), "{finding:?}");
        assert!(finding.state != State::Ok || finding.commands.is_empty(), "{finding:?}");
    }
}

/// One without a network and without cores.
fn worst() -> Machine {
    Machine {
        receive_buffer: Some(Err("UDP 127.0.0.1:0: Operation not permitted".to_owned())),
        cores: Vec::new(),
        ..bad()
    }
}

#[test]
fn only_what_lets_nothing_run_is_said_to() {
    assert!(diagnosis(&good()).can_run && diagnosis(&bad()).can_run);
    let worst = diagnosis(&worst());
    assert!(!worst.can_run);
    assert!(worst.to_text().ends_with("nothing can run here like this\n"));
    let json: serde_json::Value = serde_json::from_str(&worst.to_json()).unwrap();
    assert_eq!(json["can_run"], false);
    assert_eq!(json["findings"][2]["state"], "problem");
}

#[test]
fn one_core_is_shared_and_older_kernels_wait_for_each_datagram() {
    let found = |machine: &Machine, what: &str| {
        let findings = diagnosis(machine).findings;
        findings.into_iter().find(|finding| finding.what == what).expect("it was looked at")
    };
    let one = Machine { cores: vec![3], ..good() };
    assert_eq!(found(&one, "cores").state, State::Note);
    assert_eq!(found(&one, "hardware threads").state, State::Ok);
    let old = Machine { kernel: "6.1.0".to_owned(), ..good() };
    assert_eq!(found(&old, "io_uring").state, State::Note);
    // Two threads of each of two cores: one of each is left.
    let cores = Machine {
        cores: vec![0, 1, 2, 3],
        siblings: [[0, 2], [1, 3], [0, 2], [1, 3]].map(Vec::from).to_vec(),
        ..good()
    };
    assert!(found(&cores, "hardware threads").commands[0].line.starts_with("taskset -c 0,1 "));
}

#[test]
fn what_the_kernel_writes_is_read() {
    assert_eq!(port_range("32768\t60999"), Some((32_768, 60_999)));
    assert_eq!(port_range("32768"), None);
    let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            20000                20000                files\n";
    assert_eq!(files_max(limits), Some(20_000));
    assert_eq!(files_max("Max open files unlimited unlimited files"), Some(u64::MAX));
    assert_eq!(core_list("0-2,5"), [0, 1, 2, 5]);
    assert_eq!(core_list("x,7,9-99999999"), [7]);
    assert_eq!(quota_cores("150000 100000"), Some(1.5));
    assert_eq!(quota_cores("max 100000"), None);
    assert_eq!(steal_share("cpu  10 0 10 70 0 0 0 10 0 0\ncpu0 1"), Some(0.1));
    assert_eq!(steal_share("cpu  10 0"), None);
}

#[test]
fn this_machine_can_be_looked_at() {
    let machine = Machine::here(&profile());
    assert!(!machine.cores.is_empty() && !machine.kernel.is_empty());
    assert!(matches!(machine.receive_buffer, Some(Ok(bytes)) if bytes > 0));
    assert_eq!(machine.ports.len(), 7);
    assert_eq!(machine.address_refused, None);
}
