"""The machine: its CPUs, what they did, and what it is called."""
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, GENERATOR_CPU = CPUS[0], CPUS[min(1, len(CPUS) - 1)]


class Watch:
    """What happened on the CPUs in use since it was made."""

    def __init__(self):
        self.before = _ticks()

    def steal_pct(self):
        """The share of the time that the hypervisor gave to others, on the worse of the CPUs."""
        worst = 0.0
        for before, now in zip(self.before, _ticks()):
            passed = [b - a for a, b in zip(before, now)]
            worst = max(worst, 100 * passed[7] / max(1, sum(passed[:8])))
        return worst


def _ticks():
    text = Path("/proc/stat").read_text()
    return [[int(n) for n in re.search(rf"^cpu{cpu} (.*)", text, re.M).group(1).split()]
            for cpu in sorted({SERVER_CPU, GENERATOR_CPU})]


def available_mb():
    return int(re.search(r"^MemAvailable:\s*(\d+)", Path("/proc/meminfo").read_text(), re.M).group(1)) // 1024


def first_line(argv):
    """The first line that a program says, or nothing."""
    try:
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0].strip() if lines else None


def package_version(package):
    """The version of a Debian package, or nothing."""
    if not shutil.which("dpkg-query"):
        return None
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
    return done.stdout.strip() or None


def description():
    """What the figures hold for: everything about the machine that a reader needs."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.*)", cpuinfo)
    flags = re.search(r"^flags\s*:\s*(.*)", cpuinfo, re.M)
    known = set(flags.group(1).split()) if flags else set()
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cpu_features": [flag for flag in ("sha_ni", "vaes", "avx2", "avx512f", "avx512bw") if flag in known],
        "cpus": len(CPUS), "server_cpu": SERVER_CPU, "generator_cpu": GENERATOR_CPU,
        "kernel": os.uname().release, "load_1min_before": round(os.getloadavg()[0], 2),
    }
