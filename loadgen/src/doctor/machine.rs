//! What is read of a machine, and tried on it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use imstorm_base::SocketId;
use imstorm_esp::Lanes;
use imstorm_uring::{SocketSpec, process, udp};

use crate::embedded;
use crate::health::RECEIVE_BUFFER_BYTES;
use crate::profile::Profile;

/// What a machine is and does, so far as it bears on a run. What can't be had is nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Machine {
    /// The kernel's release.
    pub kernel: String,
    /// Why io_uring does not work, if it does not.
    pub io_uring_refused: Option<String>,
    /// `kernel.io_uring_disabled`.
    pub io_uring_disabled: Option<u64>,
    /// Why a long send is not cut into datagrams by the kernel (UDP_SEGMENT), if it is not.
    pub segments_refused: Option<String>,
    /// The receive buffer that a socket got, in bytes, without what the kernel doubles it by; or why there was no socket.
    pub receive_buffer: Option<Result<u64, String>>,
    /// The ports that the kernel gives to whoever asks for any.
    pub ephemeral_ports: Option<(u16, u16)>,
    /// Files that the process may have open.
    pub files_max: Option<u64>,
    /// The cores that the process may use.
    pub cores: Vec<usize>,
    /// Of each of these the cores that are the same one in truth (SMT).
    pub siblings: Vec<Vec<usize>>,
    /// The processor time that the process may take, in cores, where a control group bounds it.
    pub quota_cores: Option<f64>,
    /// What sets the processor's frequency.
    pub governor: Option<String>,
    /// The part of the time, 0 to 1, that the host took from this machine since it started.
    pub steal_share: Option<f64>,
    /// The memory that is free, in bytes, within the bound of a control group if there is one.
    pub memory_bytes: Option<u64>,
    /// The clock that the kernel goes by, and all that there are.
    pub clocks: Option<(String, Vec<String>)>,
    /// How late the kernel may wake a thread that has asked for 1 ns, in nanoseconds.
    pub timer_slack_ns: Option<u64>,
    /// How many ESP packets are encrypted side by side: `avx512`, `avx2` or `portable`.
    pub lanes: &'static str,
    /// The processor's model.
    pub processor: String,
    /// Connections that the kernel's firewall tracks now, and how many it can.
    pub tracked: Option<(u64, u64)>,
    /// Datagrams that may wait for a core of the kernel's own (`net.core.netdev_max_backlog`).
    pub backlog: Option<u64>,
    /// Why a UE's address can't be used, if it can't.
    pub address_refused: Option<String>,
    /// The ports that the profile and its engine need.
    pub ports: Vec<Port>,
}

/// A port that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Whose it is.
    pub of: &'static str,
    /// Address and port.
    pub address: SocketAddr,
    /// Why it can't be had, if it can't.
    pub refused: Option<String>,
}

/// Where the control group of this process is bounded: those of version 2, and of version 1.
const QUOTA_FILE: &str = "/sys/fs/cgroup/cpu.max";
const MEMORY_MAX_FILES: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
const MEMORY_USED_FILES: [&str; 2] =
    ["/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes"];
const CLOCK_FOLDER: &str = "/sys/devices/system/clocksource/clocksource0";

impl Machine {
    /// This one, for a profile. Sockets are opened and closed again; nothing is sent but one datagram to itself.
    #[must_use]
    pub fn here(profile: &Profile) -> Self {
        let cores = process::allowed_cores().unwrap_or_default();
        Self {
            kernel: text_of("/proc/sys/kernel/osrelease").unwrap_or_default(),
            io_uring_refused: imstorm_uring::probe().err(),
            io_uring_disabled: number_of("/proc/sys/kernel/io_uring_disabled"),
            segments_refused: udp::probe_segments().err().map(|error| error.to_string()),
            receive_buffer: Some(receive_buffer()),
            ephemeral_ports: text_of("/proc/sys/net/ipv4/ip_local_port_range")
                .and_then(|text| port_range(&text)),
            files_max: text_of("/proc/self/limits").and_then(|text| files_max(&text)),
            siblings: cores.iter().filter_map(|core| siblings(*core)).collect(),
            cores,
            quota_cores: text_of(QUOTA_FILE).and_then(|text| quota_cores(&text)),
            governor: text_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            steal_share: text_of("/proc/stat").and_then(|text| steal_share(&text)),
            memory_bytes: memory_bytes(),
            clocks: clocks(),
            timer_slack_ns: timer_slack_ns(),
            lanes: Lanes::detect().as_str(),
            processor: processor(),
            tracked: number_of("/proc/sys/net/netfilter/nf_conntrack_count")
                .zip(number_of("/proc/sys/net/netfilter/nf_conntrack_max")),
            backlog: number_of("/proc/sys/net/core/netdev_max_backlog"),
            address_refused: address_refused(profile),
            ports: ports(profile),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
fn text_of(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn number_of(path: &str) -> Option<u64> {
    text_of(path)?.parse().ok()
}

fn receive_buffer() -> Result<u64, String> {
    let specs = [spec(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), RECEIVE_BUFFER_BYTES)];
    let sockets = udp::open(&specs).map_err(|error| error.to_string())?;
    let bytes = sockets[0].receive_buffer_bytes().map_err(|error| error.to_string())?;
    Ok(bytes as u64 / 2)
}

/// `ip_local_port_range`: the first and the last one.
pub(super) fn port_range(text: &str) -> Option<(u16, u16)> {
    let mut ports = text.split_whitespace().map(str::parse);
    Some((ports.next()?.ok()?, ports.next()?.ok()?))
}

/// The soft limit in `/proc/self/limits`.
pub(super) fn files_max(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

fn siblings(core: usize) -> Option<Vec<usize>> {
    let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    Some(core_list(&text_of(&path)?))
}

/// `0-1,4`: the cores in a list of the kernel's. What can't be read is left out.
pub(super) fn core_list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (last < 1 << 16).then_some(first..=last)
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// `cpu.max`: processor time and the time in which it may be taken, in microseconds.
pub(super) fn quota_cores(text: &str) -> Option<f64> {
    let (quota, period) = text.split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.trim().parse().ok()?);
    (period > 0.0).then(|| quota / period)
}

/// The eighth number of `/proc/stat`'s first line as a part of the first eight, all since the start.
pub(super) fn steal_share(stat: &str) -> Option<f64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|it| it.parse().ok()).collect();
    let all: u64 = ticks.iter().sum();
    (ticks.len() == 8 && all > 0).then(|| ticks[7] as f64 / all as f64)
}

fn memory_bytes() -> Option<u64> {
    let free = process::memory_free().ok()?;
    let first = |paths: &[&str]| paths.iter().find_map(|path| number_of(path));
    let in_group = first(&MEMORY_MAX_FILES)
        .zip(first(&MEMORY_USED_FILES))
        .map(|(most, used)| most.saturating_sub(used));
    Some(in_group.map_or(free, |left| left.min(free)))
}

fn clocks() -> Option<(String, Vec<String>)> {
    let current = text_of(&format!("{CLOCK_FOLDER}/current_clocksource"))?;
    let all = text_of(&format!("{CLOCK_FOLDER}/available_clocksource")).unwrap_or_default();
    Some((current, all.split_whitespace().map(str::to_owned).collect()))
}

/// Asked for on a thread of its own, as the generator's thread does.
fn timer_slack_ns() -> Option<u64> {
    let asked = std::thread::Builder::new().spawn(|| {
        process::set_timer_slack(1).ok()?;
        process::timer_slack_ns().ok()
    });
    asked.ok()?.join().ok()?
}

fn processor() -> String {
    let text = text_of("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    line.map(|line| line.trim_start_matches([' ', '\t', ':']).to_owned()).unwrap_or_default()
}

fn address_refused(profile: &Profile) -> Option<String> {
    let addresses = &profile.population.addresses;
    let last = profile.ues().saturating_sub(1).min(addresses.capacity().saturating_sub(1));
    let mut tried = [0, last].into_iter().filter_map(|ue| addresses.address(ue));
    tried.find_map(|address| {
        let refused = UdpSocket::bind(SocketAddr::new(address, 0)).err()?;
        Some(format!("{address}: {refused}"))
    })
}

/// Which of the ports that a run with an engine of its own has are free.
fn ports(profile: &Profile) -> Vec<Port> {
    let any = match profile.population.addresses.network {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let pcscfs = profile.pcscfs().iter().flat_map(|pcscf| {
        let esp = SocketAddr::new(pcscf.ip(), profile.topology.pcscf_esp_port);
        [("P-CSCF", *pcscf), ("P-CSCF, ESP", esp)]
    });
    let roles = embedded::mw_addresses(profile).map(|address| ("core, Mw", address));
    let ues = [("UEs", profile.ue.port), ("UEs, ESP", profile.ue.esp_port)];
    let ues = ues.map(|(of, port)| (of, SocketAddr::new(any, port)));
    let all = pcscfs.chain(roles).chain(ues);
    let port = |(of, address)| Port {
        of,
        address,
        refused: udp::open(&[spec(address, 0)]).err().map(|error| error.error.to_string()),
    };
    all.map(port).collect()
}

fn spec(bind: SocketAddr, receive_buffer_bytes: usize) -> SocketSpec {
    SocketSpec {
        id: SocketId(0),
        bind,
        reuse_port: false,
        receive_buffer_bytes,
        packet_info: false,
    }
}
