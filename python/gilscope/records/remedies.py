"""What to do about a verdict, in one sentence each."""

WAYS_TO_RELEASE = "py.detach in PyO3, Py_BEGIN_ALLOW_THREADS in C, nogil in Cython"
WAYS_TO_HAND_OVER = (
    "a release of 0.1 ms or more, or time.sleep(0), hands it over; a shorter release and sched_yield do not"
)
"""Measured: docs/check.md has the figures."""

REMEDY: dict[str, str] = {
    "hogs": f"Release the GIL around the work ({WAYS_TO_RELEASE}), do less work in each call, or use a process pool.",
    "yields": "A thread pool does not make it faster; a process pool or native code that releases the GIL does.",
    "releases": "Call it in a thread pool.",
    "no GIL": "Call it in a thread pool.",
    "too short": "Do more work in each call, 2 ms or more.",
    "something else held the GIL": "Check it while no other thread runs Python.",
    "too few samples": "Measure longer ({longer}), or on a quieter machine.",
    "a tie": "Check the parts of the call one by one.",
    "unclear waits": "Measure on a quieter machine.",
    "brief releases": f"Release the GIL for longer ({WAYS_TO_HAND_OVER}), hold it for less of the call, or use a process pool.",
    "deadlock": f"Release the GIL ({WAYS_TO_RELEASE}) while the call waits for a lock, a thread or a device.",
    "long holds": f"Release the GIL in that part too ({WAYS_TO_RELEASE}), or do less work in it; then call it in a thread pool.",
    "": "Measure longer ({longer}), or on a quieter machine.",
}
"""What to do, by the verdict's reason if it has one, or else by its kind. ``long holds``: it releases the GIL, but not enough."""
