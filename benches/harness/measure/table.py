"""The table: its rows, what each needs, and how a result is put together."""
from dataclasses import dataclass

from . import rounds


@dataclass(frozen=True)
class Line:
    """A line of the table. `more` marks those in which ours does more than the peer."""
    row: int
    work: str
    peer: object
    target: float
    needs: tuple
    more: bool = False


KAMAILIO = "Kamailio (allocator fm)"
LINES = [
    Line(1, "index every header of a 1.28 kB SUBSCRIBE, and routing keys; all checked, no allocation", "httparse, same headers",
         1.0, ("cargo",)),
    Line(2, "the same and typed Via, From, To, CSeq, Contact, Route, Event, Authorization, Security-Client", "sofia-sip msg_make",
         0.2, ("cargo", "cc", "sofia")),
    Line(3, "unprotected REGISTER, new binding, the S-CSCF alone, 200", f"{KAMAILIO} save()", 0.5, ("cargo", "cc", "kamailio")),
    Line(4, "unprotected REGISTER through P-CSCF, I-CSCF and S-CSCF, 200", f"{KAMAILIO} save()", 0.8,
         ("cargo", "cc", "kamailio"), True),
    Line(5, "SUBSCRIBE, 200 and NOTIFY with an equal body, cold burst of 60,000, the S-CSCF alone", f"{KAMAILIO} presence", 0.25,
         ("cargo", "cc", "kamailio", "kamailio-presence")),
    Line(6, "MESSAGE, stateful, P-CSCF, S-CSCF, P-CSCF, no ESP", f"{KAMAILIO} one t_relay hop", 0.5,
         ("cargo", "cc", "kamailio"), True),
    Line(7, "INVITE, 100, 180, 200, P-CSCF, S-CSCF, P-CSCF, no ESP", f"{KAMAILIO} one t_relay hop", 0.8,
         ("cargo", "cc", "kamailio"), True),
    Line(8, "whole secure set-up at the engine", f"{KAMAILIO} bare SUBSCRIBE, 200 and NOTIFY", 1.0,
         ("cargo", "cc", "kamailio", "kamailio-presence"), True),
    Line(9, "generator: REGISTER, 200", "SIPp", 0.4, ("cargo", "cc", "sipp")),
    Line(10, "generator: a call, INVITE to BYE", "SIPp uac", 0.35, ("cargo", "cc", "sipp")),
    Line(11, "generator: whole secure set-up", "SIPp, three plain REGISTERs", 0.7, ("cargo", "cc", "sipp"), True),
    Line(12, "generator ÷ engine, whole secure set-up", None, 0.7, ("cargo",)),
    Line(13, "ESP seal, aes-cbc and hmac-sha-1-96, 16 packets of mixed length over 16 SAs", "RustCrypto one at a time", 0.2,
         ("cargo", "cc", "ipsec-mb")),
    Line(13, "ESP seal, aes-cbc and hmac-sha-1-96, 16 packets of mixed length over 16 SAs", "Intel ipsec-mb", 1.3,
         ("cargo", "cc", "ipsec-mb")),
    Line(14, "a datagram in and one out through the engine's I/O layer", "raw recvmmsg and sendmmsg echo", 1.1, ("cargo", "cc")),
]
ROWS = sorted({line.row for line in LINES})

SATURATED, HALF = "at_saturation", "at_half_load"


def line_of(row, peer=None):
    """The line of a row; where a row has two, the one whose peer's name has `peer` in it."""
    return next(line for line in LINES if line.row == row and (peer is None or peer in str(line.peer)))


def needs_of(rows):
    return sorted({need for line in LINES if line.row in rows for need in line.needs})


def rounded(load):
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in load.items()}


def result(line, loads, notes, **extra):
    """A row of the JSON. `loads` has the ratios for each load (`rounds.ratios`); the row's own are the worst's."""
    worst = max(loads.values(), key=lambda load: load["ratio"])
    noisy = sum(note["rounds_noisy"] for note in notes.values())
    said = rounds.verdict(worst["low"], worst["high"], line.target, noisy)
    out = {"row": line.row, "work": line.work, "peer": line.peer, "ratio": round(worst["ratio"], 4), "low": round(worst["low"], 4),
           "high": round(worst["high"], 4), "target": line.target, "verdict": said, "ours_does_more": line.more}
    if len(loads) > 1:
        out |= {name: rounded(load) for name, load in loads.items()}
    else:
        out |= {key: value for key, value in rounded(worst).items() if key not in out}
    return {**out, "rounds_repeated": sum(note["rounds_repeated"] for note in notes.values()), "rounds_noisy": noisy, **extra}


def text(rows):
    """The table for a person."""
    head = ("row", "work", "peer", "ours µs", "peer µs", "ratio", "low to high", "at most", "verdict")
    body = [head]
    for row in rows:
        loads = {"": row} if SATURATED not in row else {"saturated": row[SATURATED], "half load": row[HALF]}
        for number, (name, load) in enumerate(loads.items()):
            first = number == 0
            plus = "+" if row["ours_does_more"] else ""
            body.append((f"{row['row']}{plus}" if first else "", row["work"] if first else "",
                         ((row["peer"] or "–") + (f", {name}" if name else "")) if first else name,
                         f"{load['ours_us']:.3f}", f"{load['peer_us']:.3f}", f"{load['ratio']:.3f}",
                         f"{load['low']:.3f} to {load['high']:.3f}", f"{row['target']}" if first else "",
                         row["verdict"] if first else ""))
    widths = [min(46, max(len(line[place]) for line in body)) for place in range(len(head))]
    return "\n".join(render(line, widths) for line in body)


def render(cells, widths):
    """One line of the table; what is wider than its column goes on below."""
    parts = [wrap(cell, width) for cell, width in zip(cells, widths)]
    lines = []
    for number in range(max(map(len, parts))):
        line = [part[number] if number < len(part) else "" for part in parts]
        lines.append("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())
    return "\n".join(lines)


def wrap(cell, width):
    lines, line = [], ""
    for word in cell.split(" "):
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return lines + [line]
