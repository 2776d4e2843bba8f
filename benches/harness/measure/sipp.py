"""SIPp as the peer of our generator."""
import contextlib
import csv
import os
import subprocess
import time

from . import machine
from .build import HARNESS, program
from .failure import Failure
from .processes import free_port, running, spawn, stop, wait_until_bound

BUFFER_BYTES = 4_000_000
# How often a run is tried, and by how much slower each time.
TRIES, SLOWER = 5, 0.92


@contextlib.contextmanager
def answering(programs, folder, calls):
    """What both generators call: a responder without state, or for calls SIPp's own UAS. Its address."""
    port, log = free_port(25_060), folder / "answering.log"
    argv = [programs.path("uas"), port]
    if calls:
        argv = [program("sipp"), "-sn", "uas", "-i", "127.0.0.1", "-p", port, "-mp", free_port(26_000, 4), "-nostdin",
                "-buff_size", BUFFER_BYTES, "-timeout", 1800]
    with running(argv, machine.SERVER_CPU, log, cwd=folder) as process:
        wait_until_bound(process, port, log)
        yield f"127.0.0.1:{port}"


def scenario(name):
    return ["-sf", HARNESS / "sipp" / f"{name}.xml"]


CALL = ["-sn", "uac", "-d", 0]


def run(what, target, rate, seconds, folder):
    """One SIPp at one offered rate: its CPU microseconds for each call, and whether all went well."""
    count, stats = max(1, int(rate * seconds)), folder / "sipp.csv"
    stats.unlink(missing_ok=True)
    limit_s = seconds * 2 + 6
    port = free_port(21_000)
    argv = [program("sipp"), *what, target, "-i", "127.0.0.1", "-p", port, "-mp", free_port(23_000, 4),
            "-r", int(rate), "-rp", 1000, "-m", count, "-l", max(2000, int(rate)), "-nostdin", "-trace_stat", "-fd", 1, "-stf", stats,
            "-timeout", int(limit_s), "-buff_size", BUFFER_BYTES]
    start = time.monotonic()
    process = spawn(argv, machine.GENERATOR_CPU, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    env={**os.environ, "TERM": "xterm"})
    usage = None
    try:
        while usage is None and time.monotonic() - start < limit_s + 6:
            time.sleep(0.01)
            pid, status, found = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode, usage = os.waitstatus_to_exitcode(status), found
    finally:
        stop(process)
    wall = time.monotonic() - start
    if usage is None:
        return {"us": None, "rate": 0.0, "clean": False, "generator_cpu_pct": 0.0}
    try:
        with open(stats) as file:
            row = list(csv.DictReader(file, delimiter=";"))[-1]
    except (OSError, IndexError):
        raise Failure(f"SIPp left no statistics (it ended with {process.returncode})") from None
    ok, failed, again = (int(row[key]) for key in ("SuccessfulCall(C)", "FailedCall(C)", "Retransmissions(C)"))
    cpu_s = usage.ru_utime + usage.ru_stime
    clean = ok == count and not failed and not again and wall <= seconds * 1.08 + 0.3
    return {"us": 1e6 * cpu_s / ok if ok else None, "rate": ok / wall, "clean": clean, "generator_cpu_pct": 100 * cpu_s / wall}


def run_cleanly(what, target, rate, seconds, folder):
    """As `run`, again and somewhat slower where a call failed or was retransmitted."""
    for attempt in range(TRIES):
        done = run(what, target, rate * SLOWER ** attempt, seconds, folder)
        if done["clean"]:
            return done
    raise Failure(f"SIPp did not get through {rate:.0f} calls a second, nor somewhat less: something else runs on the machine")


def capacity(what, target, rates, folder):
    """The highest of ascending rates that it gets through, where each may fail once, less a tenth."""
    best = None
    for rate in rates:
        if not any(run(what, target, rate, 1.5, folder)["clean"] for _ in range(2)):
            break
        best = rate
    if not best:
        raise Failure(f"SIPp does not get through {rates[0]} calls a second")
    return 0.9 * best
