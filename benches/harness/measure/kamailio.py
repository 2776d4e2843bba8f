"""Kamailio as the peer: Debian's package, allocator fm, one child on one CPU."""
import contextlib
import shutil

from . import machine
from .build import HARNESS, KAMAILIO_TABLES, program
from .processes import free_port, running, wait_until_bound

CHILDREN = 1
ALLOCATOR = "fm"
# How long it keeps a completed transaction: its own default.
WT_TIMER_MS = 5000


@contextlib.contextmanager
def kamailio(case, folder):
    """A fresh one with one of our configurations: its address and its processes."""
    port = free_port(5060)
    tables = folder / "dbtext"
    if case == "presence":
        shutil.rmtree(tables, ignore_errors=True)
        shutil.copytree(KAMAILIO_TABLES, tables)
    text = (HARNESS / "kamailio" / f"{case}.cfg").read_text()
    for name, value in (("PORT", port), ("CHILDREN", CHILDREN), ("DBTEXT", tables), ("WT_TIMER_MS", WT_TIMER_MS)):
        text = text.replace(f"@{name}@", str(value))
    config, log = folder / "kamailio.cfg", folder / "kamailio.log"
    config.write_text(text)
    shared_mb = min(8_000, machine.available_mb() // 2)
    argv = [program("kamailio"), "-DD", "-f", config, "-m", shared_mb, "-M", 64, "-x", ALLOCATOR, "-X", ALLOCATOR,
            "-P", folder / "kamailio.pid", "-Y", folder]
    with running(argv, machine.SERVER_CPU, log) as process:
        yield f"127.0.0.1:{port}", wait_until_bound(process, port, log)
