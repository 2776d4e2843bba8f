"""How each row is measured. Rows that have a side in common are measured together, each side once a round."""
import contextlib
import json
import statistics

from . import engine, generator, kamailio, machine, sipp
from .build import HARNESS
from .failure import Failure
from .processes import finished, free_port, running, wait_until_bound
from .progress import say
from .rounds import interleaved, ratios
from .table import HALF, SATURATED, line_of, result, rounded

# Set-ups, registrations and subscriptions of one run; with them a run takes 1 to 5 s.
SET_UPS = 40_000
SUBSCRIPTIONS, SUBSCRIBED_USERS = 60_000, 20_000
SUBSCRIBE_WINDOW = 64
SIPP_REGISTER_RATES = [10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 70_000, 80_000, 90_000, 100_000, 110_000, 120_000]
SIPP_REGISTER_3_RATES = [4_000, 8_000, 12_000, 16_000, 20_000, 24_000, 28_000, 32_000, 36_000, 40_000, 44_000]
SIPP_CALL_RATES = [4_000, 8_000, 10_000, 12_000, 14_000, 16_000, 18_000, 20_000, 22_000, 24_000]
ECHO_BYTES = 1000


class Context:
    """What all experiments share."""

    def __init__(self, programs, folder, pairs, seconds):
        self.programs, self.folder, self.pairs, self.seconds = programs, folder, pairs, seconds


def of(runs, key="us"):
    return [run[key] for run in runs]


def median(runs, key):
    return round(statistics.median(of(runs, key)), 1)


def program_ns(context, *argv):
    """What a program that measures itself says; `us` of CPU for one thing."""
    out, _ = finished(argv, machine.SERVER_CPU, context.seconds * 4 + 30, str(argv[0]))
    said = json.loads(out)
    return {**said, "us": said["ns"] / 1e3}


# ---- programs that need no network ----

def parsing(context, rows):
    """Rows 1 and 2."""
    message, ours = HARNESS / "messages" / "subscribe.sip", context.programs.path("peers-ours")
    seconds = context.seconds / 4
    sides = {}
    if 1 in rows:
        sides |= {"index": lambda: program_ns(context, ours, "index", message, seconds),
                  "httparse": lambda: program_ns(context, ours, "httparse", message, seconds)}
    if 2 in rows:
        sofia = context.programs.path("sofia")
        sides |= {"typed": lambda: program_ns(context, ours, "typed", message, seconds),
                  "full": lambda: program_ns(context, ours, "full", message, seconds),
                  "sofia": lambda: program_ns(context, sofia, message, seconds)}
    runs, notes = interleaved("parsing", sides, context.pairs)
    for row, (mine, peer) in {1: ("index", "httparse"), 2: ("typed", "sofia")}.items():
        if row in rows:
            allocations = sum(of(runs[mine], "allocations"))
            if allocations:
                raise Failure(f"row {row}: our parser made {allocations} allocations, where there must be none")
            full = {"all_of_sofias_headers": rounded(ratios(of(runs["full"]), of(runs[peer])))} if row == 2 else {}
            yield result(line_of(row), {SATURATED: ratios(of(runs[mine]), of(runs[peer]))}, {SATURATED: notes}, allocations=0, **full)


def sealing(context, rows):
    """Row 13, twice."""
    ours, theirs = context.programs.path("peers-ours"), context.programs.path("ipsec_mb")
    seconds = context.seconds / 4
    runs, notes = interleaved("sealing", {
        "ours": lambda: program_ns(context, ours, "seal", seconds),
        "rustcrypto": lambda: program_ns(context, ours, "rustcrypto", seconds),
        "ipsec-mb": lambda: program_ns(context, theirs, seconds)}, context.pairs)
    for peer, name in (("rustcrypto", "RustCrypto"), ("ipsec-mb", "ipsec-mb")):
        uses = {"peer_uses": runs[peer][0]["uses"]} if peer == "ipsec-mb" else {}
        yield result(line_of(13, name), {SATURATED: ratios(of(runs["ours"]), of(runs[peer]))}, {SATURATED: notes}, **uses)


# ---- the I/O layer ----

def echoing(context, rows):
    """Row 14: both echoes stand by, and the generator goes to and fro between them."""
    with contextlib.ExitStack() as stack:
        sides = {}
        for side, argv in (("ours", [context.programs.path("peers-ours"), "echo"]), ("raw", [context.programs.path("udp_echo")])):
            port, log = free_port(27_300), context.folder / f"echo-{side}.log"
            process = stack.enter_context(running([*argv, port], machine.SERVER_CPU, log))
            pids = wait_until_bound(process, port, log)
            sides[side] = lambda rate=None, port=port, pids=pids: generator.drive(
                context.programs, f"127.0.0.1:{port}", pids, raw_bytes=ECHO_BYTES, seconds=context.seconds, rate=rate,
                extra=[] if rate else ["--gso"])
        loads, notes, runs = {}, {}, {}
        runs[SATURATED], notes[SATURATED] = interleaved("echo, saturated", sides, context.pairs)
        half = statistics.median(of(runs[SATURATED]["raw"], "rate")) / 2
        runs[HALF], notes[HALF] = interleaved(f"echo, {half:.0f} a second", {
            side: lambda side=side: sides[side](half) for side in sides}, context.pairs)
        for load in runs:
            loads[load] = load_of(runs[load]["ours"], runs[load]["raw"])
    yield result(line_of(14), loads, notes)


def load_of(ours, peer):
    """The ratios at one load, with rates and how busy the server's CPU was."""
    return {**ratios(of(ours), of(peer)), "ours_rate": median(ours, "rate"), "peer_rate": median(peer, "rate"),
            "ours_cpu_pct": median(ours, "server_cpu_pct"), "peer_cpu_pct": median(peer, "server_cpu_pct")}


# ---- secure set-ups ----

def securing(context, rows):
    """Rows 8, 11 and 12: the same set-ups give the engine's CPU and the generator's."""
    programs, folder = context.programs, context.folder
    users = max(10_000, int(SET_UPS * min(1, context.seconds / 2)))
    say("secure set-ups: how many a second")
    own_rate = engine.attach_rate(programs, folder, users)
    with contextlib.ExitStack() as stack:
        saturated = {"ours": lambda: engine.attach_cleanly(programs, folder, users, own_rate)}
        if 8 in rows:
            saturated["kamailio"] = lambda: subscribe_without_state(context)
        if 11 in rows:
            target = stack.enter_context(sipp.answering(programs, folder, calls=False))
            three = sipp.scenario("register-3")
            say("SIPp: how many calls a second")
            sipp_rate = sipp.capacity(three, target, SIPP_REGISTER_3_RATES, folder)
            saturated["sipp"] = lambda: sipp.run_cleanly(three, target, sipp_rate, context.seconds, folder)
        runs, notes = {}, {}
        runs[SATURATED], notes[SATURATED] = interleaved("secure set-ups, saturated", saturated, context.pairs)
        # Half of what each peer can; ours is measured once, at the half that it can do.
        halves = {peer: statistics.median(of(runs[SATURATED][peer], "rate")) / 2 for peer in saturated if peer != "ours"}
        own_half = min([own_rate, *halves.values()]) if halves else own_rate / 2
        half = {"ours": lambda: engine.attach_cleanly(programs, folder, users, own_half)}
        if 8 in rows:
            half["kamailio"] = lambda: subscribe_without_state(context, halves["kamailio"])
        if 11 in rows:
            half["sipp"] = lambda: sipp.run_cleanly(three, target, halves["sipp"], context.seconds, folder)
        runs[HALF], notes[HALF] = interleaved(f"secure set-ups, {own_half:.0f} a second", half, context.pairs)
    if 8 in rows:
        yield result(line_of(8), {load: load_of(runs[load]["ours"], runs[load]["kamailio"]) for load in runs}, notes, set_ups=users)
    if 11 in rows:
        yield result(line_of(11), {load: generator_load(runs[load]["ours"], runs[load]["sipp"]) for load in runs}, notes, set_ups=users)
    if 12 in rows:
        both = {load: {**ratios(of(runs[load]["ours"], "generator_us"), of(runs[load]["ours"])),
                       "ours_rate": median(runs[load]["ours"], "rate")} for load in runs}
        yield result(line_of(12), both, notes, set_ups=users)


def generator_load(ours, peer):
    """The ratios of two generators at one load."""
    return {**ratios(of(ours, "generator_us"), of(peer)), "ours_rate": median(ours, "rate"), "peer_rate": median(peer, "rate"),
            "ours_cpu_pct": median(ours, "generator_cpu_pct"), "peer_cpu_pct": median(peer, "generator_cpu_pct")}


def subscribe_without_state(context, rate=None):
    """A burst of SUBSCRIBEs at a fresh Kamailio: each gets 200 and a NOTIFY without a body."""
    with kamailio.kamailio("presence", context.folder) as (target, pids):
        return generator.drive(context.programs, target, pids, request=generator.template("subscribe"), seconds=30,
                               count=SUBSCRIPTIONS, users=SUBSCRIBED_USERS, window=SUBSCRIBE_WINDOW, rate=rate)


# Which rows are measured together, how, and what is built for it; in the order in which they are.
EXPERIMENTS = [
    ({1, 2}, parsing, {1: ["peers-ours"], 2: ["peers-ours", "sofia"]}),
    ({13}, sealing, {13: ["peers-ours", "ipsec_mb"]}),
    ({14}, echoing, {14: ["peers-ours", "udp_echo", "gen"]}),
    ({8, 11, 12}, securing, {8: ["imstorm", "imstorm-engine", "gen"], 11: ["imstorm", "imstorm-engine", "uas"], 12: ["imstorm", "imstorm-engine"]}),
]
