"""The neutral generator: the same program, in the same way, drives our servers and the peers."""
import json

from . import machine
from .build import HARNESS
from .failure import Failure
from .processes import finished, free_port

# Requests outstanding at most where the generator paces itself: as many as a receive buffer of the default size holds.
PACED_WINDOW = 128
SOURCE_PORT = 20_000


def template(name):
    return HARNESS / "templates" / f"{name}.tpl"


def drive(programs, target, pids, *, request=None, raw_bytes=None, seconds, count=None, users=1, first_user=0,
          window=128, rate=None, hop_port=None, source_port=None, called_offset=0, extra=()):
    """One run against a server: CPU microseconds that `pids` took for each request answered, and the rate.

    Fails where anything was refused or lost: such a run says nothing."""
    argv = [programs.path("gen"), "--target", target, "--seconds", seconds, "--users", users, "--first-user", first_user,
            "--source-port", source_port or free_port(SOURCE_PORT), "--called-offset", called_offset,
            "--pid", ",".join(map(str, pids)), *extra]
    argv += ["--template", request] if request else ["--raw", raw_bytes]
    argv += ["--window", PACED_WINDOW, "--rate", f"{rate:.0f}"] if rate else ["--window", window]
    argv += ["--count", count] if count else []
    argv += ["--hop-port", hop_port] if hop_port else []
    out, _ = finished(argv, machine.GENERATOR_CPU, seconds + 60, "the generator")
    run = json.loads(out)
    wrong = {key: run[key] for key in ("errors", "lost") if run[key]}
    if not run["ok"] or wrong:
        status = f", the last with {run['last_error_status']}" if run["errors"] else ""
        raise Failure(f"{run['ok']} requests were answered well, {run['errors']} not{status}, {run['lost']} never")
    return {"us": 1e6 * run["server_cpu_s"] / run["ok"], "rate": run["rate_per_s"], "requests": run["ok"],
            "server_cpu_pct": 100 * run["server_cpu_s"] / run["wall_s"], "generator_cpu_pct": run["generator_cpu_pct"],
            "requests_from_server": run["requests_in"], "duplicates": run["duplicates"],
            "bytes_from_server": round(run["request_bytes_in"] / run["requests_in"]) if run["requests_in"] else 0}
