//! What the way of a message through the engine does without: allocations, and system calls other than those that move datagrams.

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};

use tests::ue::EXPIRES_S;
use tests::{Layout, ScriptedUe, World, meter};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn allocations() -> u64 {
    ALLOCATIONS.get()
}

// SAFETY: all calls go to the system's allocator as they come; the count is a thread-local without a destructor or an initialiser that
// allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the layout is not empty, as the caller promises.
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, place: *mut u8, memory: Memory) {
        // SAFETY: the place is from `System` with this layout, as the caller promises.
        unsafe { System.dealloc(place, memory) }
    }

    unsafe fn realloc(&self, place: *mut u8, memory: Memory, bytes: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the place is from `System` with this layout, and `bytes` is not 0, as the caller promises.
        unsafe { System.realloc(place, memory, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// All that a UE may do alone, from its set-up to its release.
fn live(world: &mut World, number: u64) {
    let mut ue = world.ue(number);
    world.secure(&mut ue);
    world.refresh(&mut ue);
    world.reauthenticate(&mut ue);
    world.refresh(&mut ue);
    world.release(&mut ue);
}

/// As [`live`], with a registration over the connection that it watches.
fn live_bound(world: &mut World, number: u64) {
    let mut ue = world.ue(number);
    world.secure(&mut ue);
    let impu = ue.impu.clone();
    world.bind(&mut ue, &impu);
    world.watch(&mut ue, &impu);
}

/// As [`live`], by a registration with AKA.
fn live_registered(world: &mut World, number: u64) {
    let mut ue = world.ue(number);
    world.register(&mut ue);
    let again = ue.register_again(EXPIRES_S);
    world.ask(&mut ue, &again);
}

/// A call between two UEs.
fn talk(world: &mut World, numbers: [u64; 2]) {
    let mut ues: Vec<ScriptedUe> = numbers.iter().map(|number| world.ue(*number)).collect();
    for ue in &mut ues {
        world.secure(ue);
        let impu = ue.impu.clone();
        world.bind(ue, &impu);
    }
    let [caller, called] = &mut ues[..] else { unreachable!("two") };
    let (mut call, _) = world.call(caller, called);
    world.hang_up(&mut call, caller, called);
}

#[test]
fn no_message_makes_the_engine_allocate() {
    meter::install(allocations);
    for layout in [Layout::Together, Layout::Apart, Layout::Each] {
        let mut world = World::new(layout);
        let all = |world: &mut World, first: u64| {
            live(world, first);
            live_registered(world, first + 1);
            talk(world, [first + 2, first + 3]);
            live_bound(world, first + 4);
        };
        // What is reserved at first use, and stays.
        all(&mut world, 1);
        all(&mut world, 6);
        let before = meter::taken();
        all(&mut world, 11);
        all(&mut world, 16);
        assert_eq!(meter::taken() - before, 0, "{layout:?}");
    }
}

#[test]
fn the_meter_sees_an_allocation_in_a_tick_and_sees_all_ticks() {
    meter::install(allocations);
    let before = meter::taken();
    drop(meter::around(|| std::hint::black_box(vec![1])));
    assert_eq!(meter::taken() - before, 1);
    let (mut world, ticks) = (World::new(Layout::Together), meter::ticks());
    live(&mut world, 1);
    assert!(meter::ticks() > ticks);
}

const IMSTORM: &str = env!("CARGO_BIN_EXE_imstorm-under-test");
const UES: usize = 200;
/// Of a shard that publishes what CPU time it took, every 20 ms and however many messages come; and of its wake-up by the control plane,
/// which asks for its numbers.
const BESIDES: [&str; 2] = ["clock_gettime(CLOCK_THREAD_CPUTIME_ID", "read("];
/// What moves datagrams.
const BACK_ENDS_OWN: [&str; 5] =
    ["io_uring_enter", "recvmmsg", "sendmmsg", "epoll_pwait", "epoll_pwait2"];

/// How often the control plane may ask: at the end, and when the generator looks at the tables.
const WAKES_MAX: usize = 8;

fn is_own(call: &&str) -> bool {
    BACK_ENDS_OWN.iter().any(|own| call.strip_prefix(own).is_some_and(|it| it.starts_with('(')))
}

/// The system calls of a thread, from the first to the last that moves datagrams; `strace` says each on a line with the thread's number.
fn calls_of<'a>(trace: &'a str, name: &str) -> Vec<&'a str> {
    let named = format!("PR_SET_NAME, \"{name}\"");
    let thread = trace.lines().find(|line| line.contains(&named)).expect("a thread of that name");
    let thread = thread.split_whitespace().next().expect("its number");
    let calls = trace.lines().filter_map(|line| {
        let (number, rest) = line.split_once(' ')?;
        let call = rest.trim_start();
        // What goes on after another thread's line is `<... call resumed>`.
        (number == thread && !call.starts_with('<')).then_some(call)
    });
    let calls: Vec<&str> = calls.collect();
    let first = calls.iter().position(is_own).expect("datagrams are moved");
    let last = calls.iter().rposition(is_own).expect("datagrams are moved");
    calls[first..=last].to_vec()
}

#[test]
fn a_shard_makes_no_system_call_but_those_that_move_datagrams() {
    let tried = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !tried.is_ok_and(|it| it.status.success()) {
        return eprintln!("not tested: strace is missing, or nothing may be traced here");
    }
    let folder = std::env::temp_dir().join(format!("imstorm-calls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for io in ["uring", "mmsg"] {
        let trace = folder.join(format!("{io}.txt"));
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, 119, high, low.max(1));
        let free = |ip: IpAddr| {
            let socket = UdpSocket::bind((ip, 0)).expect("a free port");
            socket.local_addr().expect("an address").port()
        };
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let mut command = Command::new("strace");
        command.args(["-f", "-o"]).arg(&trace).arg(IMSTORM);
        command.args(["run", "quickstart", "--quiet", "--out"]).arg(folder.join(io));
        for (key, value) in [
            ("population.size", UES.to_string()),
            ("arrivals.rate_per_s", "100".to_owned()),
            ("procedures.refresh.after_s", "0.5".to_owned()),
            ("procedures.release.after_s", "1".to_owned()),
            ("ue.port", free(any).to_string()),
            ("ue.esp_port", free(any).to_string()),
            ("topology.pcscf", format!("[\"{ip}:5060\"]")),
            ("topology.pcscf_esp_port", free(ip.into()).to_string()),
            ("engine.io", format!("\"{io}\"")),
            ("engine.shards", "1".to_owned()),
        ] {
            command.args(["--set", &format!("{key}={value}")]);
        }
        let output = command.stdin(Stdio::null()).output().expect("strace starts");
        let report = std::fs::read_to_string(folder.join(io).join("report.json"));
        let report: serde_json::Value = serde_json::from_str(&report.unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
        }))
        .expect("JSON");
        assert_eq!(report["procedures"]["secure"]["completed"], UES, "{io}");
        let text = std::fs::read_to_string(&trace).expect("the trace");
        let calls = calls_of(&text, "shard-0");
        assert!(calls.len() > 3 * UES, "{io}: {} calls", calls.len());
        let besides = |call: &&&str| BESIDES.iter().any(|it| call.starts_with(it));
        let others: Vec<&&str> = calls.iter().filter(|it| !is_own(it) && !besides(it)).collect();
        assert_eq!(others, Vec::<&&str>::new(), "{io}: of {} calls", calls.len());
        let wakes = calls.iter().filter(|call| call.starts_with("read(")).count();
        assert!(wakes <= WAKES_MAX, "{io}: {wakes}");
    }
    let _ = std::fs::remove_dir_all(&folder);
}
