import os
import sys

if not sys.flags.safe_path:
    # Like the command `gilscope`, import nothing from the working directory: a queue.py there must not replace the standard
    # library's. A program to watch gets its own folder in this place, and a statement is run in a process of its own.
    sys.path[0] = os.path.dirname(sys.executable)  # noqa: PTH120 - importing pathlib would be too early

from gilscope.cli import main

sys.exit(main())
