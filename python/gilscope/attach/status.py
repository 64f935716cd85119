"""What ``/proc/PID`` says of a process: its parent, its user, its rights and how it was started."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
SYS_PTRACE = 19
"""The number of ``CAP_SYS_PTRACE``, the right to read other processes."""


class Status(NamedTuple):
    """Some lines of ``/proc/PID/status``."""

    name: str
    parent: int
    uids: tuple[int, ...]
    """The real, the effective, the saved and the file system's user id."""
    capabilities: int
    """Effective, as a bit mask."""
    obtainable: int
    """The capabilities that the process or what it starts may ever have: the bounding set."""

    @property
    def may_trace(self) -> bool:
        """Whether the process may read others'."""
        return bool(self.capabilities >> SYS_PTRACE & 1)

    @property
    def could_trace(self) -> bool:
        """Whether root would have that right here."""
        return bool(self.obtainable >> SYS_PTRACE & 1)


def status_of(pid: int | str) -> Status | None:
    """Return the status of a process; ``None`` if there is no such process."""
    try:
        text = (PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return None
    lines = (line.partition(":") for line in text.splitlines())
    fields = {name: value.strip() for name, _, value in lines}
    return Status(
        name=fields.get("Name", "?"),
        parent=int(fields.get("PPid", "0")),
        uids=tuple(map(int, fields.get("Uid", "").split())),
        capabilities=int(fields.get("CapEff", "0"), 16),
        obtainable=int(fields.get("CapBnd", "0"), 16),
    )


def command_of(pid: int) -> str:
    """Return the command line of a process, or its name if it has none; an empty string if there is no such process."""
    try:
        arguments = (PROC / str(pid) / "cmdline").read_bytes()
        # A program that has changed its title may have left a line, not arguments.
        command = " ".join(arguments.decode(errors="backslashreplace").rstrip("\0").split("\0")).strip()
        return command or (PROC / str(pid) / "comm").read_text(errors="backslashreplace").strip()
    except OSError:
        return ""


def pids() -> list[int]:
    """Return the ids of all processes that ``/proc`` shows, in order."""
    return sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal())


def parent_of(pid: int) -> int | None:
    """Return the id of a process's parent; ``None`` if there is no such process."""
    try:
        stat = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # "pid (name) S parent ...", and the name may contain anything.
    return int(stat.rpartition(b")")[2].split()[1])


def user_name(uid: int) -> str:
    """Return the name of a user, or its number if it has none here."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
