"""Our engine as a process of its own, and UEs of our generator against it."""
import contextlib
import json
import socket
import urllib.request

from . import machine
from .failure import Failure
from .processes import cpu_s, finished, free_port, running, wait_until_bound
from .progress import say

REALM = "ims.example"
# T1 of the UE leg is 2 s (TS 24.229 table 7.8): what takes less was not sent twice.
UNREPEATED_US = 1_900_000
# How often a run is tried, and by how much slower each time.
TRIES, SLOWER = 5, 0.92


@contextlib.contextmanager
def serving(programs, folder, config, port):
    """An engine with this configuration, once it is bound to `port`: its processes."""
    path, log = folder / "engine.toml", folder / "engine.log"
    path.write_text(config)
    log.unlink(missing_ok=True)
    with running([programs.path("imstorm-engine"), "serve", path], machine.SERVER_CPU, log) as process:
        yield wait_until_bound(process, port, log)


class Ports:
    """Free ports for one run: those of the engine's roles, its control plane's, and the UEs'."""

    def __init__(self):
        self.pcscf = free_port(15_060)
        self.esp = free_port(14_500)
        self.mw = free_port(16_060, count=3)
        self.admin = free_port(19_060, kind=socket.SOCK_STREAM)
        self.ue = free_port(15_070 if self.pcscf != 15_070 else 15_071)
        self.ue_esp = free_port(self.esp + 1)


def secure_config(ports, users):
    return "\n".join([
        f'icscf = {{ mw = "127.0.0.1:{ports.mw + 1}" }}',
        f'scscf = {{ mw = "127.0.0.1:{ports.mw + 2}", realm = "{REALM}" }}',
        f'subscribers = {{ size = {users}, seed = 1, domain = "{REALM}" }}',
        f'admin = "127.0.0.1:{ports.admin}"', "shards = 1",
        "[[pcscf]]", f'address = "127.0.0.1:{ports.pcscf}"', f"esp_port = {ports.esp}", f"ue_esp_port = {ports.ue_esp}",
        f'mw = "127.0.0.1:{ports.mw}"', ""])


def attach_profile(ports, users, rate):
    return f"""
name = "peers-attach"
description = "All UEs set up security once, and stay."
[population]
size = {users}
seed = 1
domain = "{REALM}"
[topology]
pcscf = ["127.0.0.1:{ports.pcscf}"]
pcscf_esp_port = {ports.esp}
[ue]
port = {ports.ue}
esp_port = {ports.ue_esp}
[arrivals]
process = "constant"
rate_per_s = {rate:.0f}
grain_ms = 1
[procedures.refresh]
count = 0
expires_s = 3600
[limits]
drain_s = 5
"""


def attach(programs, folder, users, rate):
    """Secure set-ups against a fresh engine: CPU microseconds a set-up of engine and generator, or a failure where one failed
    or anything had to be sent twice."""
    ports = Ports()
    profile, out = folder / "attach.toml", folder / "attach"
    profile.write_text(attach_profile(ports, users, rate))
    with serving(programs, folder, secure_config(ports, users), ports.pcscf) as pids:
        before = cpu_s(pids)
        argv = [programs.path("imstorm"), "run", profile, "--target", f"127.0.0.1:{ports.pcscf}",
                "--admin", f"http://127.0.0.1:{ports.admin}", "--out", out, "--quiet", "--capture", "none"]
        # 3: starts came late, since the generator was full: at saturation they may.
        _, generator_s = finished(argv, machine.GENERATOR_CPU, users / rate + 15, "imstorm run", accept=(0, 3))
        engine_s = cpu_s(pids) - before
    report = json.loads((out / "report.json").read_text())
    secure = report["procedures"]["secure"]
    if secure["completed"] != users:
        raise Failure(f"{secure['completed']} of {users} UEs were secured at {rate:.0f} a second")
    slowest_us = secure["latency_us"]["max"]
    achieved = users / report["duration_s"]
    return {"us": 1e6 * engine_s / users, "generator_us": 1e6 * generator_s / users, "rate": achieved,
            "clean": slowest_us < UNREPEATED_US, "server_cpu_pct": 1e2 * engine_s * achieved / users,
            "generator_cpu_pct": 1e2 * generator_s * achieved / users}


def attach_cleanly(programs, folder, users, rate):
    """As `attach`, again and somewhat slower where it failed or anything was sent twice: then it was no measurement of set-ups."""
    for attempt in range(TRIES):
        run = attach_or_nothing(programs, folder, users, rate * SLOWER ** attempt)
        if run and run["clean"]:
            return run
    raise Failure(f"at {rate:.0f} set-ups a second, and somewhat below, some failed or were repeated: something else runs here")


def attach_or_nothing(programs, folder, users, rate):
    try:
        return attach(programs, folder, users, rate)
    except Failure as failure:
        say(f"again: {failure}")
        return None


def attach_rate(programs, folder, users):
    """What engine and generator can take, less a tenth: set-ups a second. A set-up costs less the more there are, so that it is
    found step by step."""
    rate = 4_000.0
    for _ in range(8):
        run = attach_or_nothing(programs, folder, users, rate)
        if not run or not run["clean"]:
            rate *= 0.8
            continue
        possible = 0.9e6 / max(run["us"], run["generator_us"])
        if possible < 1.05 * rate:
            return min(rate, possible)
        rate = possible
    return rate


def status(ports):
    """What the engine says of itself."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ports.admin}/v1/status", timeout=5) as answer:
        return json.load(answer)
