"""What to do about a verdict or a stall: one remedy for one call, whichever command found it.

Those who call the code come first. What only the author of native code can do comes after that, and says so.
"""

WAYS_TO_RELEASE = "py.detach in PyO3, Py_BEGIN_ALLOW_THREADS in C, nogil in Cython"
WAYS_TO_HAND_OVER = (
    "a release of 0.1 ms or more, or time.sleep(0), hands it over; a shorter release and sched_yield do not"
)
"""Measured: docs/check.md has the figures."""

IN_A_THREAD = "Run it in a thread: asyncio.to_thread(...), or a thread pool."
IN_A_PROCESS = "Run it in a process pool: in a thread it keeps the event loop waiting as well."
IN_NATIVE_CODE = f"In native code of your own, release the GIL around the work ({WAYS_TO_RELEASE})."

REMEDY: dict[str, str] = {
    "hogs": f"{IN_A_PROCESS} {IN_NATIVE_CODE}",
    "yields": IN_A_PROCESS,
    "releases": IN_A_THREAD,
    "no GIL": IN_A_THREAD,
    "too short": "Do more work in each call, 2 ms or more.",
    "something else held the GIL": "Check it while no other thread runs Python.",
    "too few samples": "Measure longer ({longer}), or on a quieter machine.",
    "a tie": "Check the parts of the call one by one.",
    "unclear waits": "Measure on a quieter machine.",
    "brief releases": f"{IN_A_PROCESS} In native code of your own, release the GIL for longer ({WAYS_TO_HAND_OVER}).",
    "deadlock": f"Release the GIL ({WAYS_TO_RELEASE}) while the call waits for a lock, a thread or a device.",
    "long holds": f"Release the GIL in that part too ({WAYS_TO_RELEASE}), or do less work in it; then call it in a thread pool.",
    "": "Measure longer ({longer}), or on a quieter machine.",
}
"""What to do, by the verdict's reason if it has one, or else by its kind. ``long holds``: it releases the GIL, but not enough."""

REMEDY_OF_CAUSE: dict[str, str] = {
    "blocked, computing": IN_A_PROCESS,
    "blocked, waiting": "Await an asynchronous version of the call, or run it in a thread: asyncio.to_thread(...).",
    "starved by a hog": REMEDY["hogs"],
    "starved by turns": "Run fewer Python threads beside the loop, or move their work to processes.",
    "no CPU": "Something else used the CPU: leave the loop a core, or raise the container's CPU limit.",
    "garbage collection": "Call gc.freeze() once everything is loaded, raise gc.set_threshold(), or create fewer reference cycles.",
    "unknown": "The evidence is not enough to decide; the stall's figures are in the JSON report.",
}
"""What to do about a stall, by its cause."""
