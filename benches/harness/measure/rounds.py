"""Rounds: both sides of a comparison, one after the other, again and again, and what the ratios say."""
import statistics

from . import machine
from .progress import say

STEAL_MAX_PCT = 1.0
REPEATS_MAX = 3


def interleaved(name, sides, count):
    """`count` rounds of all sides: in the order given, then reversed, and so on (ABBA). A round with more steal than allowed
    is repeated. Gives the results by side, a list of `count` each, and what was noted."""
    results, repeated, noisy = {side: [] for side in sides}, 0, 0
    order = list(sides)
    for number in range(count):
        for attempt in range(REPEATS_MAX + 1):
            say(f"{name}: round {number + 1} of {count}" + (" again: steal" if attempt else ""))
            watch = machine.Watch()
            once = {side: sides[side]() for side in (order if number % 2 == 0 else order[::-1])}
            steal = watch.steal_pct()
            if steal <= STEAL_MAX_PCT:
                break
            repeated += attempt < REPEATS_MAX
        noisy += steal > STEAL_MAX_PCT
        for side, result in once.items():
            results[side].append(result)
    return results, {"rounds_repeated": repeated, "rounds_noisy": noisy}


def interval(values):
    """The narrowest interval of order statistics that has the median with 95 %: for 6 to 8 values the least and the greatest.
    Also how sure it is: with fewer than 6 values no interval is that sure, and it is the widest."""
    ordered, count = sorted(values), len(values)
    cut, sure = 0, _coverage(count, 0)
    while 2 * (cut + 2) <= count and _coverage(count, cut + 1) >= 0.95:
        cut += 1
        sure = _coverage(count, cut)
    return ordered[cut], ordered[count - 1 - cut], sure


def _coverage(count, cut):
    """How probably the median lies between the `cut`-th least and greatest of `count` values (binomial, p = 1/2)."""
    outside, term = 0.0, 0.5 ** count
    for k in range(cut + 1):
        outside += term
        term = term * (count - k) / (k + 1)
    return max(0.0, 1 - 2 * outside)


def ratios(ours, peer):
    """The paired ratios' median and interval."""
    pairs = [a / b for a, b in zip(ours, peer)]
    low, high, sure = interval(pairs)
    return {"ratio": statistics.median(pairs), "low": low, "high": high, "confidence": sure,
            "ours_us": statistics.median(ours), "peer_us": statistics.median(peer), "pairs": len(pairs)}


def verdict(low, high, target, noisy=0):
    """What may be said: `inconclusive` where the interval has the target in it, or rounds stayed disturbed."""
    if low <= target < high or noisy:
        return "inconclusive"
    return "holds" if high <= target else "misses"
