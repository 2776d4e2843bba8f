//! What must hold at the end of a simulated run, looked at from outside both sides; and what a trace shows.

use std::fmt::Write as _;
use std::net::SocketAddr;

use imstorm_base::time::Time;
use imstorm_esp::{Datagram, classify};

use super::network::Fate;
use super::world::{Ended, START_NS, World};
use crate::measure::Procedure;

/// What should not be, in words; empty where all holds.
#[must_use]
pub fn at_the_end(world: &World<'_>, ended: Ended) -> Vec<String> {
    let mut violations = Vec::new();
    let mut expect = |holds: bool, what: String| {
        if !holds {
            violations.push(what);
        }
    };
    let engine = world.engine();
    let generator = world.generator();
    let measurements = generator.measurements();
    expect(ended == Ended::Quiet, "the run did not come to rest".to_owned());
    for (count, what) in [
        (engine.sum(|tables| tables.pcscf.connections), "connections at the P-CSCF"),
        (4 * engine.sum(|tables| tables.pcscf.sets), "security associations at the P-CSCF"),
        (engine.sum(|tables| tables.pcscf.transactions), "transactions at the P-CSCF"),
        (engine.sum(|tables| tables.pcscf.strings_bytes), "bytes of strings at the P-CSCF"),
        (engine.sum(|tables| tables.scscf.subscriptions), "subscriptions at the S-CSCF"),
        (engine.sum(|tables| tables.scscf.challenges), "challenges at the S-CSCF"),
        (engine.sum(|tables| tables.scscf.sessions), "sessions at the S-CSCF"),
        (engine.sum(|tables| tables.scscf.notifications), "NOTIFYs at the S-CSCF"),
        (engine.sum(|tables| tables.scscf.strings_bytes), "bytes of strings at the S-CSCF"),
    ] {
        expect(count == 0, format!("{count} {what} left over"));
    }
    let mut failed = 0;
    for procedure in Procedure::ALL {
        let tally = measurements.procedure(*procedure);
        failed += tally.failed;
        expect(
            tally.attempted == tally.over(),
            format!(
                "{} of {} {} neither completed nor failed nor abandoned",
                tally.attempted - tally.over(),
                tally.attempted,
                procedure.name()
            ),
        );
    }
    expect(
        failed == measurements.failures().total(),
        format!("{failed} failures, {} with a cause", measurements.failures().total()),
    );
    // Those that come back are set up again.
    let started: u64 = [Procedure::Secure, Procedure::Registration]
        .map(|procedure| measurements.procedure(procedure).attempted)
        .iter()
        .sum();
    expect(
        started + generator.state().not_started >= generator.size(),
        "not every UE was started".to_owned(),
    );
    let open: usize = (0..world.generator().population.size())
        .map(|ue| generator.legs(ue).iter().filter(|leg| !leg.is_over).count())
        .sum();
    expect(open == 0, format!("{open} sides of sessions left over"));
    for (number, ue) in (0..).map_while(|ue| generator.ue(ue)).enumerate() {
        let most = if ue.is_secured && !ue.is_busy { 1 } else { 2 };
        expect(ue.sets <= most, format!("UE {number} ({:?}) has {} sets", ue.stage, ue.sets));
    }
    violations.extend_from_slice(world.invariants().violations());
    violations
}

/// A trace's line for a datagram.
#[must_use]
pub fn trace_line(
    now: Time,
    number: u64,
    from: SocketAddr,
    to: SocketAddr,
    fate: Fate,
    bytes: &[u8],
) -> String {
    let mut line = String::new();
    let micros = (now - START_NS) / 1000;
    let _ =
        write!(line, "{}.{:06} #{number} {from} > {to} ", micros / 1_000_000, micros % 1_000_000);
    match classify(bytes) {
        Datagram::Esp(spi) if to.port() == 4500 || from.port() == 4500 => {
            let _ = write!(line, "ESP spi {spi:#010x} {} B", bytes.len());
        }
        _ => {
            let first = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let _ = write!(line, "{} {} B", String::from_utf8_lossy(first), bytes.len());
        }
    }
    match fate.arrival_ns {
        Some(delay_ns) => {
            let _ = write!(line, " +{} us", delay_ns / 1000);
        }
        None => line.push_str(" lost"),
    }
    if let Some(delay_ns) = fate.duplicate_ns {
        let _ = write!(line, ", again +{} us", delay_ns / 1000);
    }
    line.push('\n');
    line
}
