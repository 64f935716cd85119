"""Why a process cannot be attached to: one sentence for each reason."""

from __future__ import annotations

from typing import Final

from gilscope.attach.rights import Rights, missing
from gilscope.attach.status import command_of, status_of
from gilscope.naming import escaped

READABLE: Final = "gilscope reads CPython 3.11 to 3.15"
CHOOSE: Final = "gilscope attach without a PID lists the processes"
REASONS: Final = {
    "other-proc": (
        "/proc is missing, or shows the PIDs of another namespace than that of gilscope: mount the right one with "
        "mount -t proc proc /proc"
    ),
    "gone": f"no process has this PID: {CHOOSE}",
    "zombie": f"the process has ended, and its parent has not asked for its exit status yet: {CHOOSE}",
    "own": "gilscope cannot attach to itself: give the PID of another process",
    "thread": "it is a thread of process {detail}: attach to {detail} instead",
    "kernel-thread": f"it is a thread of the kernel ({{name}}), which runs no Python: {CHOOSE}",
    "filter": (
        "a seccomp filter forbids gilscope to read other processes: run gilscope outside of the container, or start the "
        "container with --cap-add=SYS_PTRACE"
    ),
    "32-bit": "{name} is a 32-bit program, and gilscope reads 64-bit ones only",
    "not-python": f"no CPython was found in the memory of the process ({{name}}): {CHOOSE}",
    "version": f"the process runs Python {{detail}}, and {READABLE}",
    "free-threaded": "the process runs free-threaded Python {detail}: it has no GIL, and gilscope cannot read its stacks",
    "no-interpreter": (
        "Python {detail} has not started yet in the process, or has ended already: try again in a moment, or attach to the "
        "process that runs your program"
    ),
    "layout": (
        "the memory of the process does not look like that of CPython {detail}: gilscope cannot read debug builds and "
        "changed versions of CPython"
    ),
}
"""What follows "cannot attach to PID: ", by code; ``rights`` is in :mod:`gilscope.attach.rights`."""
UNKNOWN_VERSION: Final = "3.10 or older"


class CannotAttach(Exception):  # noqa: N818 - the words that its message begins with
    """A process cannot be attached to. The message is one sentence that says why, and what to do about it."""

    def __init__(self, pid: int, code: str, detail: str = "", *, subcommand: str = "attach") -> None:
        """Take the code of the reason and its detail, as ``_core.find_process`` raises them."""
        self.pid = pid
        self.code = code
        self.reason = _reason(pid, code, detail, subcommand)
        super().__init__(f"cannot attach to {pid}: {self.reason}")

    @classmethod
    def because_of(cls, pid: int, error: LookupError, *, subcommand: str = "attach") -> CannotAttach:
        """Make one of the exception that the native half raises."""
        code, detail = error.args
        return cls(pid, code, detail, subcommand=subcommand)


def _reason(pid: int, code: str, detail: str, subcommand: str) -> str:
    if code == "rights":
        return missing(pid, Rights.over(pid), subcommand)
    status = status_of(pid)
    name = escaped(status.name if status else command_of(pid))
    return REASONS[code].format(detail=detail or UNKNOWN_VERSION, name=name)
