//! What is to be said of what was found.

use std::net::SocketAddr;

use super::{Finding, Machine, Port};
use crate::health::{RECEIVE_BUFFER_BYTES, RECEIVE_BUFFER_BYTES_MIN};
use crate::plan::Plan;
use crate::profile::{AccessSecurity, Profile};

/// Files that engine and generator have open together, with room for more shards.
const FILES_MIN: u64 = 256;
/// Above this part of the time taken by the host a run is likely to be INVALID.
const STEAL_SHARE_MAX: f64 = 0.01;
/// Clocks that are read without the kernel, in some 20 ns.
const FAST_CLOCKS: [&str; 4] =
    ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];
/// Datagrams that come in a burst are lost where fewer may wait.
const BACKLOG_MIN: u64 = 1_000;

/// All findings, in the order in which they matter to a run.
#[must_use]
pub fn findings(machine: &Machine, profile: &Profile, plan: &Plan) -> Vec<Finding> {
    let optional = [
        quota(machine),
        governor(machine),
        steal(machine),
        tracking(machine, profile),
        backlog(machine),
    ];
    let mut all = vec![
        io_uring(machine),
        segments(machine),
        receive_buffers(machine),
        cores(machine),
        hardware_threads(machine),
        memory(machine, plan),
        lanes(machine, profile),
        clock(machine),
        timers(machine),
        files(machine),
        addresses(machine, profile),
        engine_ports(machine),
        ue_ports(machine),
        ephemeral_ports(machine, profile),
    ];
    all.extend(optional.into_iter().flatten());
    all
}

/// Major and minor number of a kernel's release.
fn version(kernel: &str) -> (u32, u32) {
    let mut numbers = kernel.split(|c: char| !c.is_ascii_digit()).map(|it| it.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn io_uring(machine: &Machine) -> Finding {
    const WHAT: &str = "io_uring";
    let kernel = &machine.kernel;
    let Some(refused) = &machine.io_uring_refused else {
        if version(kernel) < (6, 12) {
            return Finding::note(
                WHAT,
                format!("works (Linux {kernel})"),
                "before Linux 6.12 a thread can't wait for several datagrams at once: each costs a wake-up under load",
            );
        }
        return Finding::ok(WHAT, format!("works (Linux {kernel})"));
    };
    let found = format!("does not work: {refused} (Linux {kernel})");
    let means = "engine and generator go on with recvmmsg and epoll, at somewhat more CPU time for each message";
    match machine.io_uring_disabled {
        Some(1 | 2) => {
            Finding::note(WHAT, found, means).by_root("sysctl -w kernel.io_uring_disabled=0")
        }
        _ if version(kernel) < (6, 0) => {
            Finding::note(WHAT, found, format!("{means}; io_uring needs Linux 6.0"))
        }
        _ => Finding::note(
            WHAT,
            found,
            format!(
                "{means}. In a container its seccomp profile may forbid it: allow io_uring_setup, io_uring_enter and io_uring_register"
            ),
        ),
    }
}

fn segments(machine: &Machine) -> Finding {
    const WHAT: &str = "UDP segments";
    match &machine.segments_refused {
        None => Finding::ok(WHAT, "a long send is cut into datagrams by the kernel (UDP_SEGMENT)"),
        Some(refused) => Finding::note(
            WHAT,
            format!("not supported: {refused}"),
            "datagrams between processes of a core leave one by one, at more CPU time (needs Linux 4.18)",
        ),
    }
}

fn receive_buffers(machine: &Machine) -> Finding {
    const WHAT: &str = "receive buffers";
    let asked = RECEIVE_BUFFER_BYTES as u64;
    let raise = format!("sysctl -w net.core.rmem_max={asked}");
    match &machine.receive_buffer {
        None => Finding::note(WHAT, "not tried", "a run says at its start how large they are"),
        Some(Err(error)) => Finding::problem(
            WHAT,
            format!("no UDP socket can be opened: {error}"),
            "neither engine nor generator can run",
        )
        .blocking(),
        Some(Ok(bytes)) if *bytes >= asked => {
            Finding::ok(WHAT, format!("{}, as asked for", mib(*bytes)))
        }
        Some(Ok(bytes)) => {
            let found = format!("{} of the {} that are asked for", mib(*bytes), mib(asked));
            let finding = match *bytes < RECEIVE_BUFFER_BYTES_MIN {
                true => Finding::problem(
                    WHAT,
                    found,
                    "bursts of answers will be lost under load, which makes a run INVALID",
                ),
                false => Finding::note(
                    WHAT,
                    found,
                    "enough for some 100,000 messages a second, if the generator is never away for long",
                ),
            };
            finding.by_root(raise)
        }
    }
}

fn cores(machine: &Machine) -> Finding {
    const WHAT: &str = "cores";
    match &machine.cores[..] {
        [] => Finding::problem(WHAT, "none can be used", "nothing can run").blocking(),
        [core] => Finding::note(
            WHAT,
            format!("1 to use, number {core}"),
            "engine and generator share it: latencies say more of their taking turns than of the engine. Give this process two or more, or run the core under test on another machine and name it with --target",
        ),
        [engine @ .., own] => {
            let (shards, plural) = (engine.len(), if engine.len() == 1 { "" } else { "s" });
            Finding::ok(
                WHAT,
                format!(
                    "{} to use: {shards} for the engine's shard{plural}, number {own} for the generator",
                    shards + 1
                ),
            )
        }
    }
}

fn hardware_threads(machine: &Machine) -> Finding {
    const WHAT: &str = "hardware threads";
    let Some(own) = machine.cores.last().filter(|_| machine.cores.len() > 1) else {
        return Finding::ok(WHAT, "nothing to share");
    };
    if machine.siblings.is_empty() {
        return Finding::ok(WHAT, "the kernel does not say which cores are one");
    }
    let with = machine.siblings.iter().find(|group| group.contains(own));
    let shared: Vec<_> = with
        .into_iter()
        .flatten()
        .filter(|core| *core != own && machine.cores.contains(core))
        .collect();
    match shared.first() {
        None => {
            Finding::ok(WHAT, format!("core {own} shares its circuits with none of the others"))
        }
        Some(other) => {
            let finding = Finding::note(
                WHAT,
                format!(
                    "core {own} (the generator's) and core {other} (the engine's) are one core in truth"
                ),
                "each slows the other down, so that the engine reaches less than it could. For a fair figure use one thread of each core",
            );
            let apart = apart(machine);
            // With one core they would share all of it.
            if apart.len() < 2 {
                return finding;
            }
            let apart = apart.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            finding.by_user(format!("taskset -c {apart} imstorm run …"))
        }
    }
}

/// One core of each group of siblings.
fn apart(machine: &Machine) -> Vec<usize> {
    let firsts = machine.cores.iter().filter(|core| {
        let group = machine.siblings.iter().find(|group| group.contains(core));
        let there = |other: &&usize| machine.cores.contains(other);
        group.is_none_or(|group| group.iter().find(there) == Some(core))
    });
    firsts.copied().collect()
}

fn quota(machine: &Machine) -> Option<Finding> {
    let quota_cores = machine.quota_cores?;
    let cores = machine.cores.len() as f64;
    (quota_cores < cores).then(|| {
        Finding::problem(
            "CPU quota",
            format!("{quota_cores:.1} cores' time for {cores} cores"),
            "when it is used up the kernel stops all threads for tens of milliseconds: latencies are then the quota's. Give the container whole cores in place of a quota: with docker --cpuset-cpus in place of --cpus, in Kubernetes whole CPUs as request and limit and the static CPU manager",
        )
    })
}

fn governor(machine: &Machine) -> Option<Finding> {
    let governor = machine.governor.as_deref()?;
    Some(match governor {
        "performance" => Finding::ok("frequency", "governor performance"),
        governor => Finding::note(
            "frequency",
            format!("governor {governor}"),
            "the processor is slow at first and after each pause: short runs and low loads look worse than they are",
        )
        .by_root("cpupower frequency-set -g performance"),
    })
}

fn steal(machine: &Machine) -> Option<Finding> {
    let share = machine.steal_share?;
    let found = format!("{:.2}% of the time since this machine started", share * 100.0);
    Some(match share <= STEAL_SHARE_MAX {
        true => Finding::ok("steal", found),
        false => Finding::note(
            "steal",
            found,
            "the host gives this virtual machine's cores to others: a run in which it does is INVALID. Ask for dedicated cores, or measure when the host is idle",
        ),
    })
}

fn memory(machine: &Machine, plan: &Plan) -> Finding {
    const WHAT: &str = "memory";
    let engine_bytes = if plan.assumptions.engine_here { plan.engine_bytes } else { 0 };
    let needed = plan.generator_bytes + engine_bytes;
    let Some(free) = machine.memory_bytes else {
        return Finding::note(
            WHAT,
            "the kernel does not say what is free",
            format!("the profile needs {}", mib(needed)),
        );
    };
    let found = format!("{} free, {} needed by {}", mib(free), mib(needed), plan.profile);
    match needed <= free {
        true => Finding::ok(WHAT, found),
        false => Finding::problem(
            WHAT,
            found,
            "the run would be ended by the kernel, or swap. Take fewer UEs (imstorm plan says what they come to), or run the engine on another machine",
        )
        .by_user(format!("imstorm run {} --set population.size=N", plan.profile)),
    }
}

fn lanes(machine: &Machine, profile: &Profile) -> Finding {
    const WHAT: &str = "ESP";
    let is_needed = profile.ue.access_security != AccessSecurity::None;
    let processor = &machine.processor;
    match machine.lanes {
        "avx512" => {
            Finding::ok(WHAT, format!("16 packets side by side (AVX-512, VAES; {processor})"))
        }
        "avx2" => Finding::ok(WHAT, format!("8 packets side by side (AVX2; {processor})")),
        _ if !is_needed => Finding::ok(WHAT, "not needed by the profile"),
        _ => Finding::note(
            WHAT,
            format!("one packet after the other: no AVX2 ({processor})"),
            "encryption takes several times as much time; in a virtual machine the host may hide what the processor has (CPU model `host`)",
        ),
    }
}

fn clock(machine: &Machine) -> Finding {
    const WHAT: &str = "clock";
    let Some((current, all)) = &machine.clocks else {
        return Finding::ok(WHAT, "the kernel does not say which one it goes by");
    };
    if FAST_CLOCKS.contains(&current.as_str()) {
        return Finding::ok(WHAT, current.clone());
    }
    let means = "reading the time costs a microsecond or more, several times for each turn: rates and latencies suffer";
    match all.iter().find(|clock| FAST_CLOCKS.contains(&clock.as_str())) {
        Some(fast) => Finding::problem(WHAT, current.clone(), means).by_root(format!(
            "echo {fast} > /sys/devices/system/clocksource/clocksource0/current_clocksource"
        )),
        None => Finding::problem(
            WHAT,
            current.clone(),
            format!(
                "{means}. Start the kernel with tsc=reliable, if the processor's counter is (constant_tsc and nonstop_tsc in /proc/cpuinfo)"
            ),
        ),
    }
}

fn timers(machine: &Machine) -> Finding {
    const WHAT: &str = "timers";
    match machine.timer_slack_ns {
        Some(slack_ns @ 0..=1_000) => Finding::ok(
            WHAT,
            format!("a thread is woken {slack_ns} ns late at most, by the kernel's will"),
        ),
        Some(slack_ns) => Finding::note(
            WHAT,
            format!("a thread may be woken {} µs late", slack_ns / 1_000),
            "starts are that much later than they are intended at low rates: the kernel does not follow PR_SET_TIMERSLACK here, as for threads of real-time priority",
        ),
        None => Finding::note(
            WHAT,
            "the kernel refuses PR_SET_TIMERSLACK",
            "a thread may be woken 50 µs late, and starts be that much later than they are intended at low rates",
        ),
    }
}

fn files(machine: &Machine) -> Finding {
    const WHAT: &str = "open files";
    match machine.files_max {
        Some(most) if most < FILES_MIN => {
            Finding::problem(WHAT, format!("{most} at most"), "sockets of many shards may not fit")
                .by_user(format!("ulimit -n {FILES_MIN}"))
        }
        Some(u64::MAX) => Finding::ok(WHAT, "as many as wanted"),
        Some(most) => Finding::ok(
            WHAT,
            format!("{most} at most; a run has some tens, however many UEs there are"),
        ),
        None => Finding::ok(WHAT, "the kernel does not say how many"),
    }
}

fn addresses(machine: &Machine, profile: &Profile) -> Finding {
    const WHAT: &str = "UEs' addresses";
    let block = &profile.population.addresses;
    match &machine.address_refused {
        None => Finding::ok(WHAT, format!("{block} can be used")),
        Some(refused) => Finding::problem(
            WHAT,
            format!("{block} can't be used: {refused}"),
            "the UEs could not send: the addresses have to be this machine's own. For a core on this machine loopback addresses will do",
        )
        .by_root(format!("ip route add local {block} dev lo"))
        .by_user("imstorm run … --set population.addresses=127.16.0.0/12"),
    }
}

fn engine_ports(machine: &Machine) -> Finding {
    const WHAT: &str = "engine's ports";
    let of_engine = |port: &&Port| !port.of.starts_with("UEs");
    let all: Vec<_> = machine.ports.iter().filter(of_engine).collect();
    let Some(taken) = all.iter().find(|port| port.refused.is_some()) else {
        let shown: Vec<_> = all.iter().take(2).map(|port| port.address.to_string()).collect();
        return Finding::ok(
            WHAT,
            format!("free: {}, and {} more", shown.join(", "), all.len().saturating_sub(2)),
        );
    };
    let refused = taken.refused.as_deref().unwrap_or_default();
    let found = format!("{} ({}): {refused}", taken.address, taken.of);
    match taken.address.ip().is_loopback() {
        true => Finding::note(
            WHAT,
            found,
            "a run's own engine moves to the next loopback address; an imstorm-engine of your own with this address would not start",
        )
        .by_root(who_has(taken)),
        false => Finding::problem(WHAT, found, "a run's own engine would not start")
            .by_root(who_has(taken)),
    }
}

fn ue_ports(machine: &Machine) -> Finding {
    const WHAT: &str = "UEs' ports";
    let of_ues = |port: &&Port| port.of.starts_with("UEs");
    let all: Vec<_> = machine.ports.iter().filter(of_ues).collect();
    let Some(taken) = all.iter().find(|port| port.refused.is_some()) else {
        let shown: Vec<_> = all.iter().map(|port| port.address.to_string()).collect();
        return Finding::ok(WHAT, format!("free: {}", shown.join(", ")));
    };
    let refused = taken.refused.as_deref().unwrap_or_default();
    Finding::note(
        WHAT,
        format!("{}: {refused}", taken.address),
        "against an engine of its own a run takes others; against a --target it would not start",
    )
    .by_root(who_has(taken))
    .by_user("imstorm run … --set ue.port=PORT --set ue.esp_port=PORT")
}

fn who_has(port: &Port) -> String {
    format!("ss -lunp 'sport = :{}'", port.address.port())
}

fn ephemeral_ports(machine: &Machine, profile: &Profile) -> Finding {
    const WHAT: &str = "ephemeral ports";
    let Some((first, last)) = machine.ephemeral_ports else {
        return Finding::ok(WHAT, "the kernel does not say which");
    };
    let ports = [
        profile.ue.port,
        profile.ue.esp_port,
        profile.topology.pcscf_esp_port,
        profile.topology.pcscf.first().map_or(0, SocketAddr::port),
    ];
    let mut within: Vec<u16> =
        ports.into_iter().filter(|port| (first..=last).contains(port)).collect();
    within.sort_unstable();
    within.dedup();
    if within.is_empty() {
        return Finding::ok(WHAT, format!("{first} to {last}: none of the profile's"));
    }
    let within = within.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    Finding::note(
        WHAT,
        format!("{first} to {last}, with the profile's {within}"),
        "another program may have got one of these by chance when a run starts",
    )
    .by_root(format!("sysctl -w net.ipv4.ip_local_reserved_ports={within}"))
}

fn tracking(machine: &Machine, profile: &Profile) -> Option<Finding> {
    const WHAT: &str = "connection tracking";
    let (tracked, most) = machine.tracked?;
    // Each UE has one flow for SIP and one for ESP.
    let flows = 2 * profile.ues();
    let found = format!("{tracked} of {most} flows; {} adds up to {flows}", profile.name);
    Some(match tracked + flows <= most {
        true => Finding::ok(WHAT, found),
        false => Finding::problem(
            WHAT,
            found,
            "the kernel drops what it can't track (\"nf_conntrack: table full\"): it looks as if the core did not answer",
        )
        .by_root(format!("sysctl -w net.netfilter.nf_conntrack_max={}", (tracked + flows).next_power_of_two()))
        .by_root("iptables -t raw -A PREROUTING -p udp -j NOTRACK; iptables -t raw -A OUTPUT -p udp -j NOTRACK"),
    })
}

fn backlog(machine: &Machine) -> Option<Finding> {
    let backlog = machine.backlog?;
    let found = format!("{backlog} datagrams may wait for a core of the kernel's own");
    Some(match backlog >= BACKLOG_MIN {
        true => Finding::ok("backlog", found),
        false => Finding::note("backlog", found, "bursts may be lost before they reach a socket")
            .by_root("sysctl -w net.core.netdev_max_backlog=10000"),
    })
}

fn mib(bytes: u64) -> String {
    match bytes {
        0..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}
