"""The records of a stall, to annotate ``on_stall`` with: ``def log(stall: gilscope.stalls.Stall) -> None``."""

from gilscope.records.stall import Cause, Contender, Evidence, Frame, Part, Site, Stall, Thread

__all__ = ["Cause", "Contender", "Evidence", "Frame", "Part", "Site", "Stall", "Thread"]
