"""What to do about a verdict or a stall: one remedy for one call, whichever command found it.

Those who call the code come first. What only the author of native code can do comes after that, and says so.
"""

WAYS_TO_RELEASE = "py.detach in PyO3, Py_BEGIN_ALLOW_THREADS in C, nogil in Cython"
IN_A_THREAD = "Run it in a thread: asyncio.to_thread(...), or a thread pool."
IN_A_PROCESS = "Run it in a process pool: in a thread it keeps the event loop waiting as well."
IN_NATIVE_CODE = (
    f"In native code of your own, release the GIL around the work ({WAYS_TO_RELEASE}), for 0.1 ms or more each time: a shorter "
    "release hands it to no other thread."
)
"""True whether it holds the GIL without a break or releases it too briefly, which a watch does not tell apart. The 0.1 ms were
measured: docs/check.md has the figures."""
OF_A_HOG = f"{IN_A_PROCESS} {IN_NATIVE_CODE}"

REMEDY: dict[str, str] = {
    "hogs": OF_A_HOG,
    "yields": IN_A_PROCESS,
    "releases": IN_A_THREAD,
    "no GIL": IN_A_THREAD,
    "too short": "Do more work in each call, 2 ms or more.",
    "something else held the GIL": "Check it while no other thread runs Python.",
    "too few samples": "Measure longer ({longer}), or on a quieter machine.",
    "a tie": "Check the parts of the call one by one.",
    "unclear waits": "Measure on a quieter machine.",
    "brief releases": f"{OF_A_HOG} time.sleep(0) hands it over too, and sched_yield does not.",
    "deadlock": "Run it in a process of its own, and let faulthandler.dump_traceback_later(5) show the line where it waits. In "
    f"native code of your own, release the GIL ({WAYS_TO_RELEASE}) while the call waits for a lock, a thread or a device.",
    "long holds": f"{IN_A_PROCESS} In native code of your own, release the GIL in that part too ({WAYS_TO_RELEASE}); then run it "
    "in a thread.",
    "": "Measure longer ({longer}), or on a quieter machine.",
}
"""What to do, by the verdict's reason if it has one, or else by its kind. ``long holds``: it releases the GIL, but not enough."""

REMEDY_OF_CAUSE: dict[str, str] = {
    "blocked, computing": IN_A_PROCESS,
    "blocked, waiting": "Await an asynchronous version of the call, or run it in a thread: asyncio.to_thread(...).",
    "starved by a hog": OF_A_HOG,
    "starved by turns": "Run fewer Python threads beside the loop, or move their work to processes.",
    "no CPU": "Something else used the CPU: leave the loop a core, or raise the container's CPU limit.",
    "garbage collection": "Call gc.freeze() once everything is loaded, raise gc.set_threshold(), or create fewer reference cycles.",
    "unknown": "No cause explains half of the stall. Look at its parts above, if there are any, and at the figures in the JSON report.",
}
"""What to do about a stall, by its cause."""

REMEDY_OF_DOING: dict[str, str] = {
    "computing": f"{IN_A_PROCESS} Or serve from several processes, each with a loop of its own.",
    "waiting for the GIL": REMEDY_OF_CAUSE["starved by turns"],
    "blocked": REMEDY_OF_CAUSE["blocked, waiting"],
    "no CPU": REMEDY_OF_CAUSE["no CPU"],
    "unknown": "Serve from several processes, each with a loop of its own.",
}
"""What to do about a loop that is busy all the time, by what it mostly does."""
