"""Processes that a measurement starts: pinned, charged with all their threads, and gone at its end."""
import contextlib
import ctypes
import os
import re
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

from .failure import Failure

_started = []
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def spawn(argv, cpu, **kwargs):
    """Starts a program on one CPU. It doesn't outlive this one."""
    def in_child():
        os.sched_setaffinity(0, {cpu})
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    process = subprocess.Popen([str(a) for a in argv], preexec_fn=in_child, **kwargs)
    _started.append(process)
    return process


def stop(process, patience_s=10):
    """Ends a process and the children that it has then, first politely."""
    if process.poll() is None:
        family = tree(process.pid)
        process.terminate()
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(patience_s)
    if process in _started:
        _started.remove(process)


def stop_all():
    """Ends whatever was started and still runs."""
    for process in list(_started):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            stop(process, 3)


@contextlib.contextmanager
def running(argv, cpu, log, **kwargs):
    """A server, while it is needed; what it says goes to `log`."""
    with open(log, "ab") as out:
        process = spawn(argv, cpu, stdout=out, stderr=out, env={**os.environ, "TERM": "xterm"}, **kwargs)
    try:
        yield process
    finally:
        stop(process)


def finished(argv, cpu, limit_s, what, accept=(0,), **kwargs):
    """Runs a program to its end: what it printed, and its CPU seconds, of all its threads and children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = spawn(argv, cpu, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise Failure(f"{what} did not end within {limit_s:.0f} s") from None
    finally:
        stop(process)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode not in accept:
        said = [line for line in (err.strip() or out.strip()).splitlines() if line.strip()]
        raise Failure(f"{what} ended with {process.returncode}: {said[-1] if said else 'it said nothing'}")
    return out, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def tree(root):
    """The process and its descendants."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return sorted(found)


def cpu_s(pids):
    """CPU seconds of processes, every thread of them (io_uring's workers and ended ones too), by their POSIX CPU clocks."""
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids) * 1e-9


def free_port(wanted, count=1, kind=socket.SOCK_DGRAM):
    """The first port from `wanted` on that nobody on 127.0.0.1 has, and as many behind it."""
    for first in range(wanted, wanted + 400):
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                for port in range(first, first + count):
                    stack.enter_context(socket.socket(socket.AF_INET, kind)).bind(("127.0.0.1", port))
                return first
    raise Failure(f"no free port from {wanted} on")


def wait_until_bound(process, port, log, limit_s=15):
    """Until the UDP port is bound and the server has stopped forking; what it said last is shown if it gives up."""
    needle, end, before = f":{port:04X} ", time.monotonic() + limit_s, None
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.15)
        family = tree(process.pid)
        if needle in Path("/proc/net/udp").read_text() and family == before:
            return family
        before = family
    said = Path(log).read_text(errors="replace").splitlines()[-8:]
    name = Path(re.sub(r"\0.*", "", str(process.args[0]))).name
    raise Failure("\n".join([f"{name} did not come up on UDP port {port}", *said]))
