"""What the table is measured with: built from this checkout, or installed."""
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .failure import Failure, Missing
from .progress import say

HARNESS = Path(__file__).resolve().parent.parent
ROOT = HARNESS.parent.parent

# No -march=native: the peers that come as packages have none, and neither have we.
C_FLAGS = ["-std=gnu11", "-O3", "-Wall"]
C_PROGRAMS = {
    "gen": ["gen.c"],
    "uas": ["uas.c"],
    "udp_echo": ["udp_echo.c"],
    "sofia": ["-I/usr/include/sofia-sip-1.12", "sofia.c", "-lsofia-sip-ua"],
    "ipsec_mb": ["ipsec_mb.c", "-lIPSec_MB"],
}
CARGO_TARGETS = {
    "imstorm": ["-p", "imstorm"],
    "imstorm-engine": ["-p", "imstorm-engine"],
    "peers-ours": ["-p", "benches", "--example", "peers-ours"],
}

KAMAILIO_TABLES = Path("/usr/share/kamailio/dbtext/kamailio")  # where Debian's package puts its empty tables
KAMAILIO_PRESENCE = [Path(p) for p in ("/usr/lib/x86_64-linux-gnu/kamailio/modules/presence.so",
                                       "/usr/lib/aarch64-linux-gnu/kamailio/modules/presence.so",
                                       "/usr/lib64/kamailio/modules/presence.so", "/usr/lib/kamailio/modules/presence.so")]


def version():
    """Our own version, from the workspace's manifest."""
    found = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)
    return found.group(1) if found else None


def program(name):
    """The path of an installed program, or nothing."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")


def _links(include, *flags):
    """Whether a C program with this header and these flags can be built."""
    if not program("cc"):
        return False
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        source = Path(folder) / "probe.c"
        source.write_text(f"#include <{include}>\nint main(void) {{ return 0; }}\n")
        done = subprocess.run([program("cc"), "-o", Path(folder) / "probe", source, *flags], capture_output=True)
        return done.returncode == 0


# What a row needs: how to see that it is there, and the Debian packages that bring it (none: other means).
NEEDS = {
    "cargo": (lambda: program("cargo"), [], "Rust 1.95 or newer (https://rustup.rs)"),
    "cc": (lambda: _links("stdio.h"), ["gcc", "libc6-dev"], "a C compiler"),
    "kamailio": (lambda: program("kamailio"), ["kamailio"], "Kamailio"),
    "kamailio-presence": (lambda: KAMAILIO_TABLES.exists() and any(p.exists() for p in KAMAILIO_PRESENCE),
                          ["kamailio", "kamailio-presence-modules"], "Kamailio's presence modules"),
    "sipp": (lambda: program("sipp"), ["sip-tester"], "SIPp"),
    "sofia": (lambda: _links("sofia-sip/sip.h", "-I/usr/include/sofia-sip-1.12", "-lsofia-sip-ua"),
              ["libsofia-sip-ua-dev"], "sofia-sip"),
    "ipsec-mb": (lambda: _links("intel-ipsec-mb.h", "-lIPSec_MB"), ["libipsec-mb-dev"], "Intel's ipsec-mb"),
}


def require(needs, install):
    """Raises `Missing` where a tool is missing; installs it before if that is wanted."""
    missing = [need for need in needs if not NEEDS[need][0]()]
    packages = sorted({package for need in missing for package in NEEDS[need][1]})
    if missing and install and packages:
        apt(packages)
        missing = [need for need in missing if not NEEDS[need][0]()]
    if missing:
        lines = [f"  {NEEDS[need][2]}" + (f": Debian's {', '.join(NEEDS[need][1])}" if NEEDS[need][1] else "")
                 for need in missing]
        hint = f"\n`benches/peers --install` runs: apt-get install {' '.join(packages)}" if packages else ""
        rows = "\n`--rows` measures some rows only (`--help` lists what each needs)"
        raise Missing("missing:\n" + "\n".join(lines) + hint + rows)


def apt(packages):
    """Installs Debian packages, and keeps their services from being started."""
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        script = "#!/bin/sh\nexit 101\n"
        subprocess.run([*prefix, "tee", policy], input=script, text=True, stdout=subprocess.DEVNULL, check=True)
        subprocess.run([*prefix, "chmod", "755", policy], check=True)
    try:
        for step in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *packages]):
            say("apt-get " + " ".join(step))
            done = subprocess.run([*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *step], stdout=subprocess.DEVNULL)
            if done.returncode:
                raise Missing(f"apt-get {step[0]} ended with {done.returncode}: install {' '.join(packages)} by other means")
    finally:
        if ours:
            subprocess.run([*prefix, "rm", "-f", policy], check=False)


class Programs:
    """The programs, built when they are asked for first."""

    def __init__(self, folder, own_cargo_folder):
        self.folder, self.cargo_folder, self.paths = folder, own_cargo_folder, {}

    def path(self, name):
        if name not in self.paths:
            self.paths[name] = self._cargo(name) if name in CARGO_TARGETS else self._cc(name)
        return self.paths[name]

    def _cc(self, name):
        self.folder.mkdir(parents=True, exist_ok=True)
        binary = self.folder / name
        say(f"building {name}")
        argv = [program("cc"), *C_FLAGS, "-o", binary.absolute(), *C_PROGRAMS[name]]
        done = subprocess.run(argv, cwd=HARNESS, capture_output=True, text=True)
        if done.returncode:
            raise Failure(f"{name} can't be built:\n{done.stderr.strip()}")
        return binary.absolute()

    def _cargo(self, name):
        say(f"building {name} (cargo build --release)")
        argv = [program("cargo"), "build", "--release", "--locked", "--quiet", "--message-format=json", *CARGO_TARGETS[name]]
        if self.cargo_folder:
            argv += ["--target-dir", str(self.cargo_folder.absolute())]
        environment = {key: value for key, value in os.environ.items() if key not in ("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS")}
        done = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
        for line in done.stdout.splitlines() if done.returncode == 0 else []:
            message = json.loads(line)
            if message.get("reason") == "compiler-artifact" and message.get("executable") and message["target"]["name"] == name:
                return Path(message["executable"])
        raise Failure(f"{name} can't be built: cargo ended with {done.returncode}")
