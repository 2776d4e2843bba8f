//! `imstorm capacity` over real sockets against a target that is known. It takes minutes and a quiet machine, so it has to be asked for.

use std::process::Command;

use imstorm_base::time::NS_PER_MS;
use tests::fifo::FifoSpec;
use tests::fifo_server::FifoServer;
use tests::program::{Folder, free_port_anywhere};

const IMSTORM: &str = env!("CARGO_BIN_EXE_imstorm-under-test");

#[test]
#[ignore = "it takes minutes and a quiet machine"]
fn the_capacity_of_a_target_with_half_a_millisecond_of_service_is_found() {
    let spec = FifoSpec { service_ns: NS_PER_MS / 2, ..FifoSpec::default() };
    let target = FifoServer::start(spec);
    let out = Folder::new("capacity");
    let port = free_port_anywhere();
    let output = Command::new(IMSTORM)
        .args(["capacity", "capacity-plain", "--quiet", "--target", &target.address.to_string()])
        .args(["--set", &format!("ue.port={port}"), "--out"])
        .arg(&out.0)
        .output()
        .expect("it starts");
    let report = out.report();
    let table = String::from_utf8_lossy(&output.stdout);
    println!("{table}");
    assert_eq!(report["capacity"]["limit"], "target", "{table}");
    let per_s = report["capacity"]["capacity_per_s"].as_f64().expect("some load is handled");
    // Of Poisson arrivals a thousandth waits 100 ms from about 98% of 2,000 a second on.
    assert!((1_900.0..=2_000.0).contains(&per_s), "{table}");
    assert!(output.status.success(), "{table}");
}
