"""The reporter process of ``gilscope watch``: it reads what the program passes on, and gives the report when the program ends.

It ends when the program ends, however that happens. It runs the program's Python, but none of the program's modules: not the
program's working directory but the modules of gilscope's own process are on its path. While it imports them the program waits
for its report, so it imports neither asyncio nor click.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import time
from collections import deque
from contextlib import suppress
from math import inf
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gilscope._core import BEATS_KEPT, HOLDS_KEPT
from gilscope.records.ending import HANG_STATUS, Ending, UnfinishedStall, signal_name
from gilscope.reports.ending import what_happened
from gilscope.reports.stderr import say
from gilscope.reports.watch_writer import ReportWriter, Trace
from gilscope.watch.bins import Hold, LoopLag
from gilscope.watch.updates import EXEC, HANG, PAGE, REPORTED, Page, Program, Update

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.records.ending import Kind
    from gilscope.records.loop_time import TimeTree

SOCKET, PAGE_FILE, PROGRAM = 3, 4, 5
"""The descriptors that the process is started with."""
LENGTH = struct.Struct("=Q")
SECONDS_TO_POLL = 0.05
"""Look this often for what is not announced: a signal that asks for a report, a program that has closed the socket."""
BEAT, HOLD = struct.Struct("=QQ"), struct.Struct("=QQQ")
SECONDS_TO_END_EARLY = 1.0
"""A program that is to be watched for a while gives the report itself, unless it takes longer than this."""
SECONDS_TO_BE_REPLACED = 0.5
"""A program in which the sampler still runs after this time could not replace itself."""
SAME_MOMENT = 1e-6
MAX_BYTES_READ_AT_ONCE = 1 << 20
PIDFD_GET_INFO, PIDFD_INFO, PIDFD_INFO_EXIT = 0xC040FF0B, struct.Struct("=Q52xi"), 8
"""ioctl(2) of Linux 6.15 and later; what it returns: a mask, and the status that wait(2) would return; the mask's bit for
that. See `linux/pidfd.h`."""


def main() -> None:
    """Run the process. If it fails, the program gives the report itself, if the program is still there."""
    try:
        _serve(Messages())
    except Exception as error:  # noqa: BLE001 - in a program that was killed, this sentence is all that is left
        say(f"the process that gives the report failed: {type(error).__name__}: {error}")


def _serve(messages: Messages) -> None:
    while not (arrived := messages.read()):
        if messages.ended:
            return
    first, *others = arrived
    reporter = Reporter(msgspec.msgpack.decode(first, type=Program), messages)
    for message in others:
        reporter.take(message)
    os.set_blocking(SOCKET, False)
    if reporter.run():
        with suppress(OSError):
            os.write(SOCKET, b"1")


class Messages:
    """The messages in a stream of bytes, each after its length."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self.ended = False

    def read(self) -> list[bytes]:
        """Read once, and return the messages that are complete now."""
        data = os.read(SOCKET, MAX_BYTES_READ_AT_ONCE)
        self.ended = not data
        self._bytes += data
        complete = []
        while len(self._bytes) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self._bytes)[0]
            if len(self._bytes) < end:
                break
            complete.append(bytes(self._bytes[LENGTH.size : end]))
            del self._bytes[:end]
        return complete


class Reporter:
    """Knows what the program has passed on, and gives the report once."""

    def __init__(self, program: Program, messages: Messages) -> None:
        self._program = program
        self._messages = messages
        self._writer = ReportWriter(program)
        self._page_file = mmap(PAGE_FILE, PAGE.size, access=ACCESS_READ)
        self._latest: Update | None = None
        self._time: TimeTree | None = None
        self._beats: deque[tuple[int, int]] = deque(maxlen=BEATS_KEPT)
        self._holds: deque[tuple[int, int, int]] = deque(maxlen=HOLDS_KEPT)
        self._names: dict[int, str] = {}
        self._answered = 0
        self._until = inf if program.seconds is None else program.began + program.seconds
        self._has_reported_early = False
        self._has_ended = False
        self._poll = select.poll()
        self._poll.register(SOCKET, select.POLLIN)
        self._poll.register(PROGRAM, select.POLLIN)

    def run(self) -> bool:
        """Return when there is nothing more to report; whether the program waits for that."""
        while not self._has_last_update:
            self._wait()
            self._read()
            if not self._has_last_update and not self._look():
                return False
        self._give_last()
        return True

    @property
    def _has_last_update(self) -> bool:
        return self._latest is not None and self._latest.last

    def _wait(self) -> None:
        """Wait until a message is there, or the program has ended, or it is time to look for what is not announced."""
        if self._messages.ended:  # the program has closed a descriptor that is not its own
            with suppress(KeyError):
                self._poll.unregister(SOCKET)
        polls = self._messages.ended or self._program.signal is not None or self._program.seconds is not None
        ready = dict(self._poll.poll(1000 * SECONDS_TO_POLL if polls else None))
        self._has_ended = PROGRAM in ready

    def _look(self) -> bool:
        """Report if the program has ended, or if a report is wanted now. Return whether the program runs on."""
        page = Page(*PAGE.unpack_from(self._page_file))
        if self._has_ended or (self._messages.ended and page.stage == EXEC):
            if page.stage != REPORTED and not self._has_reported_early:
                self._give_ending(page, *self._how_it_ended(page))
            return False
        if not self._has_reported_early:
            if page.requests > self._answered:
                self._answered = page.requests
                self._give_ending(page, "runs")
            # The program gives this report itself, if its Python code gets to run.
            if time.monotonic() > self._until + SECONDS_TO_END_EARLY:
                self._has_reported_early = True
                self._give_ending(page, "runs")
        return True

    def _how_it_ended(self, page: Page) -> tuple[Kind, int | None]:
        if page.stage == HANG:
            return "hang", None
        if self._has_ended and not self._was_replaced(page):
            return _end(self._program.pid)
        return "exec", None

    def _was_replaced(self, page: Page) -> bool:
        """Return whether what has ended is another program by now. The next update after a failed attempt resets the stage."""
        if page.stage != EXEC or self._latest is None:
            return False
        return page.sampled / 1e9 - self._latest.at < SECONDS_TO_BE_REPLACED

    def _give_last(self) -> None:
        if self._latest is not None and not self._has_reported_early:
            early = Ending(kind="runs") if self._latest.at >= self._until else None
            self._give(self._latest, self._latest.ending or early)

    def take(self, message: bytes) -> None:
        """Take an update."""
        self._latest = update = msgspec.msgpack.decode(message, type=Update)
        self._time = update.time or self._time
        self._beats.extend(BEAT.iter_unpack(update.beats))
        self._holds.extend(HOLD.iter_unpack(update.holds))
        self._names.update(update.names)

    def _read(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            while not self._messages.ended:
                for message in self._messages.read():
                    self.take(message)

    def _give_ending(self, page: Page, kind: Kind, number: int | None = None) -> None:
        """Report on a program that did not give its last figures. ``number`` is its signal or its exit status."""
        update, now = self._latest, _last_seen(self._latest, page)
        ending = Ending(
            kind=kind,
            signal=signal_name(number) if kind == "signal" and number else None,
            status={"exit": number, "hang": HANG_STATUS}.get(kind),
            unseen=0.0 if update is None else max(0.0, now - update.at),
            stalls=tuple(_unfinished(update, page, self._program.stall, now)),
        )
        if update is None:
            say(f"the program {what_happened(ending)} before it began: there is nothing to report")
        else:
            self._give(update, ending)

    def _give(self, update: Update, ending: Ending | None) -> None:
        began = update.began
        holds = [
            Hold(thread, self._names.get(thread), start / 1e9 - began, end / 1e9 - began)
            for thread, start, end in self._holds
        ]
        lags = [LoopLag(at / 1e9 - began, lag / 1e9) for at, lag in self._beats]
        trace = Trace(holds, lags, self._time)
        self._writer.give(update.snapshot, trace, gil=update.gil, ending=ending, quiet=update.quiet)


def _last_seen(update: Update | None, page: Page) -> float:
    """Return when the program ended, or now if it runs on. This process may be slow to learn of the end; the sampler was not."""
    seen = max(page.sampled / 1e9, update.at if update else 0.0)
    return min(seen, time.monotonic()) if page.sampled else time.monotonic()


def _unfinished(update: Update | None, page: Page, threshold: float, now: float) -> Iterator[UnfinishedStall]:
    """Yield the stalls that were not over: those of the last update if they lasted on, and what the sampler saw since."""
    since = page.late_since / 1e9
    if not since or now - since < threshold:
        return
    known = [loop for loop in (update.stalled if update else ()) if abs(loop.since - since) < SAME_MOMENT]
    for loop in known:
        yield UnfinishedStall(thread=loop.thread, so_far=now - loop.since, culprit=loop.culprit)
    if not known:
        yield UnfinishedStall(thread="", so_far=now - since, culprit=None)


def _end(pid: int) -> tuple[Kind, int | None]:
    """Return how the program ended: by a signal, or by itself, with a status."""
    status = _wait_status(pid)
    if status is None:
        return "unknown", None
    if os.WIFSIGNALED(status):
        return "signal", os.WTERMSIG(status)
    return "exit", os.WEXITSTATUS(status)


def _wait_status(pid: int) -> int | None:
    """Return what wait(2) returns for the program, which is not a child of this process; ``None`` if Linux does not say."""
    for read in (_status_of_zombie, _status_after_reaping):
        with suppress(OSError, ValueError):
            return read(pid)
    return None


def _status_of_zombie(pid: int) -> int:
    """Return the status until the parent of the program has asked for it."""
    with suppress(FileNotFoundError):  # it has ended, and has no working directory any more
        Path(f"/proc/{pid}/cwd").readlink()  # refused where Linux hides the status and shows 0, as after setuid
    state, *_, status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if state not in {"Z", "X"}:
        raise ValueError("this is another process by now")
    return int(status)


def _status_after_reaping(_: int) -> int:
    record = bytearray(PIDFD_INFO.size)
    PIDFD_INFO.pack_into(record, 0, PIDFD_INFO_EXIT, 0)
    fcntl.ioctl(PROGRAM, PIDFD_GET_INFO, record)
    mask, status = PIDFD_INFO.unpack(record)
    if not mask & PIDFD_INFO_EXIT:
        raise ValueError("this Linux does not say")
    return int(status)


if __name__ == "__main__":
    main()
