"""What the program says while it works: on standard error."""
import sys
import time

_start = time.monotonic()


def say(text):
    passed = int(time.monotonic() - _start)
    print(f"[{passed // 60:02d}:{passed % 60:02d}] {text}", file=sys.stderr, flush=True)
