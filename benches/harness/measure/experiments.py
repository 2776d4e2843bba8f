"""How each row is measured. Rows that have a side in common are measured together, each side once a round."""
import contextlib
import json
import statistics

from . import engine, generator, kamailio, machine, sipp
from .build import HARNESS
from .failure import Failure
from .open import open_engine
from .processes import finished, free_port, running, wait_until_bound
from .progress import say
from .rounds import interleaved, ratios
from .table import HALF, SATURATED, line_of, result, rounded

# Set-ups, registrations and subscriptions of one run; with them a run takes 1 to 5 s.
SET_UPS = 40_000
SUBSCRIPTIONS, SUBSCRIBED_USERS = 60_000, 20_000
SUBSCRIBE_WINDOW = 64
REGISTERED_USERS, WARM_UP_USERS = 200_000, 100
CALLERS = 20_000
# Nobody acknowledges the 200s, so that each INVITE leaves a session behind for as long as RFC 3261 13.3.1.4 says: as many users
# as there must be room for, where each has room for two.
ROOM_FOR_CALLS = 250_000
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
            loads = {SATURATED: ratios(of(runs[mine]), of(runs[peer]))}
            yield result(line_of(row), loads, {SATURATED: notes}, allocations=0, **full)


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
    own_rate = engine.attach_rate(programs, folder, users // 2)
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
        loads = {load: generator_load(runs[load]["ours"], runs[load]["sipp"]) for load in runs}
        yield result(line_of(11), loads, notes, set_ups=users)
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


# ---- servers without access security ----

def at_both_loads(context, name, sides, peer):
    """Rounds at saturation, then at half of what the peer could do. A side takes a rate, or nothing for as fast as it goes."""
    runs, notes = {}, {}
    bound = lambda rate: {side: (lambda once=once: once(rate)) for side, once in sides.items()}
    runs[SATURATED], notes[SATURATED] = interleaved(f"{name}, saturated", bound(None), context.pairs)
    half = statistics.median(of(runs[SATURATED][peer], "rate")) / 2
    runs[HALF], notes[HALF] = interleaved(f"{name}, {half:.0f} a second", bound(half), context.pairs)
    return runs, notes


def registering(context, rows):
    """Rows 3 and 4: as many new users as fit into the time, at a fresh server each time."""
    users = int(REGISTERED_USERS * min(1, context.seconds / 2))

    def burst(target, pids, request, rate):
        # A few others first, so that the first of the burst meets a server that runs.
        port = free_port(generator.SOURCE_PORT)
        run = lambda **more: generator.drive(
            context.programs, target, pids, request=generator.template(request), source_port=port, **more)
        run(seconds=1, count=WARM_UP_USERS, users=WARM_UP_USERS, first_user=users + 1)
        return run(seconds=30, count=users, users=users, first_user=1, rate=rate)

    def ours(alone, request):
        def once(rate):
            with open_engine(context, users + WARM_UP_USERS, alone) as (target, pids):
                return burst(target, pids, request, rate)
        return once

    def peer(rate):
        with kamailio.kamailio("registrar", context.folder) as (target, pids):
            return burst(target, pids, "register", rate)

    sides = {3: ours(True, "register-path"), 4: ours(False, "register")}
    sides = {row: sides[row] for row in sorted(rows)} | {"kamailio": peer}
    runs, notes = at_both_loads(context, "REGISTER", sides, "kamailio")
    for row in sorted(rows):
        yield result(line_of(row), {load: load_of(runs[load][row], runs[load]["kamailio"]) for load in runs}, notes, users=users)


def subscribing(context, rows):
    """Row 5: a burst of subscriptions at a fresh server that knows the users' state."""
    def burst(target, pids, first, subscribe, rate):
        port = free_port(generator.SOURCE_PORT)
        run = lambda request, **more: generator.drive(
            context.programs, target, pids, request=generator.template(request), seconds=30, users=SUBSCRIBED_USERS, first_user=1,
            source_port=port, **more)
        run(first, count=SUBSCRIBED_USERS, window=32)
        done = run(subscribe, count=SUBSCRIPTIONS, window=SUBSCRIBE_WINDOW, rate=rate)
        # The last ones may come behind the last 200.
        if done["requests_from_server"] < SUBSCRIPTIONS - SUBSCRIBE_WINDOW:
            raise Failure(f"{done['requests_from_server']} NOTIFYs came for {SUBSCRIPTIONS} subscriptions")
        return done

    def ours(rate):
        # There is room for one subscription and one connection of each user: these have three.
        with open_engine(context, SUBSCRIBED_USERS + 1, alone=True, room=SUBSCRIPTIONS) as (target, pids):
            return burst(target, pids, "register-path", "subscribe-reg", rate)

    def peer(rate):
        with kamailio.kamailio("presence", context.folder) as (target, pids):
            return burst(target, pids, "publish", "subscribe", rate)

    runs, notes = at_both_loads(context, "SUBSCRIBE", {"ours": ours, "kamailio": peer}, "kamailio")
    sizes = {side: runs[SATURATED][side][0]["bytes_from_server"] for side in runs[SATURATED]}
    yield result(line_of(5), {load: load_of(runs[load]["ours"], runs[load]["kamailio"]) for load in runs}, notes,
                 subscriptions=SUBSCRIPTIONS, notify_bytes=sizes)


def relaying(row, name, room=None):
    """Rows 6 and 7: requests from users of one half to users of the other, whose contacts are the responder's."""
    def experiment(context, _rows):
        def loaded(target, pids, request, hop_port, source_port, rate):
            run = lambda seconds: generator.drive(
                context.programs, target, pids, request=generator.template(request), seconds=seconds, users=CALLERS, first_user=1,
                called_offset=CALLERS, hop_port=hop_port, source_port=source_port, rate=rate)
            # Until Kamailio lets as many transactions go as begin.
            run(kamailio.WT_TIMER_MS / 1000 + 0.3)
            return run(context.seconds)

        def ours(rate):
            with open_engine(context, 2 * CALLERS, room=room) as (target, pids), responder(context) as hop_port:
                port = free_port(generator.SOURCE_PORT)
                generator.drive(context.programs, target, pids, request=generator.template("register-hop"), seconds=30,
                                count=2 * CALLERS, users=2 * CALLERS, first_user=1, hop_port=hop_port, source_port=port)
                return loaded(target, pids, f"{name}-ims", hop_port, port, rate)

        def peer(rate):
            with kamailio.kamailio("relay", context.folder) as (target, pids), responder(context) as hop_port:
                return loaded(target, pids, name, hop_port, free_port(generator.SOURCE_PORT), rate)

        runs, notes = at_both_loads(context, name.upper(), {"ours": ours, "kamailio": peer}, "kamailio")
        loads = {load: load_of(runs[load]["ours"], runs[load]["kamailio"]) for load in runs}
        yield result(line_of(row), loads, notes, callers=CALLERS)
    return experiment


@contextlib.contextmanager
def responder(context):
    """Who is called: answers everything with 200, an INVITE with 180 before it. Its port; it shares the generator's CPU."""
    port, log = free_port(25_080), context.folder / "responder.log"
    with running([context.programs.path("uas"), port, "--ringing"], machine.GENERATOR_CPU, log) as process:
        wait_until_bound(process, port, log)
        yield port


# ---- generators ----

def generating(row, what, profile, rates, settings, completed):
    """Rows 9 and 10: both generators against the same responder at the same rates, the most that SIPp gets through and half."""
    def experiment(context, _rows):
        with sipp.answering(context.programs, context.folder, calls=row == 10) as target:
            say(f"SIPp: how many {profile} a second")
            most = sipp.capacity(what, target, rates, context.folder)
            runs, notes = {}, {}
            for load, rate in ((SATURATED, most), (HALF, most / 2)):
                sides = {"ours": lambda: plain_run(context, profile, target, rate, settings(target), completed),
                         "sipp": lambda: sipp.run_cleanly(what, target, rate, context.seconds, context.folder)}
                runs[load], notes[load] = interleaved(f"{profile}, {rate:.0f} a second", sides, context.pairs)
        yield result(line_of(row), {load: generator_load(runs[load]["ours"], runs[load]["sipp"]) for load in runs}, notes)
    return experiment


def plain_run(context, profile, target, rate, settings, completed):
    """Our generator with one of the plain profiles: its CPU microseconds for each UE, all of it from start to end."""
    ues, out = int(rate * context.seconds), context.folder / profile
    wanted = {"population.size": ues, "arrivals.rate_per_s": int(rate), "ue.port": free_port(22_000), **settings}
    argv = [context.programs.path("imstorm"), "run", profile, "--target", target, "--out", out, "--quiet", "--capture", "none"]
    for key, value in wanted.items():
        argv += ["--set", f"{key}={value}"]
    _, spent_s = finished(argv, machine.GENERATOR_CPU, ues / rate + 60, "imstorm run", accept=(0, 3))
    report = json.loads((out / "report.json").read_text())
    done = report["procedures"][completed]["completed"]
    if done != ues:
        raise Failure(f"{done} of {ues} UEs were through {profile} at {rate:.0f} a second")
    return {"generator_us": 1e6 * spent_s / ues, "rate": ues / report["duration_s"],
            "generator_cpu_pct": 100 * spent_s / report["duration_s"]}


REGISTERING = generating(9, sipp.scenario("register"), "register-plain", SIPP_REGISTER_RATES, lambda target: {}, "registration")
CALLING = generating(10, sipp.CALL, "call-plain", SIPP_CALL_RATES,
                     lambda target: {"procedures.call.target": f"sip:service@{target}"}, "call_release")

# Which rows are measured together, how, and what is built for it; in the order in which they are.
OPEN, BOTH = ["imstorm-engine", "gen"], ["imstorm", "imstorm-engine"]
EXPERIMENTS = [
    ({1, 2}, parsing, {1: ["peers-ours"], 2: ["peers-ours", "sofia"]}),
    ({13}, sealing, {13: ["peers-ours", "ipsec_mb"]}),
    ({14}, echoing, {14: ["peers-ours", "udp_echo", "gen"]}),
    ({3, 4}, registering, {3: OPEN, 4: OPEN}),
    ({5}, subscribing, {5: OPEN}),
    ({6}, relaying(6, "message"), {6: [*OPEN, "uas"]}),
    ({7}, relaying(7, "invite", room=ROOM_FOR_CALLS), {7: [*OPEN, "uas"]}),
    ({8, 11, 12}, securing, {8: [*BOTH, "gen"], 11: [*BOTH, "uas"], 12: BOTH}),
    ({9}, REGISTERING, {9: ["imstorm", "uas"]}),
    ({10}, CALLING, {10: ["imstorm"]}),
]
