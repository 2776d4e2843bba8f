"""Our engine without access security: what an ordinary SIP server is measured with."""
import contextlib

from .engine import REALM, Ports, serving

TRUST = 'authentication = "none"'


def scscf_alone(ports, users, room):
    return "\n".join([
        f'scscf = {{ mw = "127.0.0.1:{ports.mw}", realm = "{REALM}", {TRUST} }}',
        f'subscribers = {{ size = {users}, seed = 1, domain = "{REALM}" }}',
        f"population = {room}", 'peers = ["127.0.0.1"]', f'admin = "127.0.0.1:{ports.admin}"', "shards = 1", ""])


def all_roles(ports, users, room):
    return "\n".join([
        f'icscf = {{ mw = "127.0.0.1:{ports.mw + 1}" }}',
        f'scscf = {{ mw = "127.0.0.1:{ports.mw + 2}", realm = "{REALM}", {TRUST} }}',
        f'subscribers = {{ size = {users}, seed = 1, domain = "{REALM}" }}',
        f"population = {room}", f'admin = "127.0.0.1:{ports.admin}"', "shards = 1",
        "[[pcscf]]", f'address = "127.0.0.1:{ports.pcscf}"', f"esp_port = {ports.esp}", f'mw = "127.0.0.1:{ports.mw}"',
        'access_security = "none"', ""])


@contextlib.contextmanager
def open_engine(context, users, alone=False, room=None):
    """A fresh engine that protects nothing, all roles or the S-CSCF alone: its address and its processes. `room`: users for whom
    the tables have room, where that is not as many as there are."""
    ports = Ports()
    port, config = (ports.mw, scscf_alone) if alone else (ports.pcscf, all_roles)
    with serving(context.programs, context.folder, config(ports, users, room or users), port) as pids:
        yield f"127.0.0.1:{port}", pids
