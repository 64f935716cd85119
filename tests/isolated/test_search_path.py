"""What our processes import before the user's folders come first in the path."""

from __future__ import annotations

import os
import subprocess
import sys

LEFT = """
import sys, types
import gilscope.isolated.search_path
lazy = getattr(types, "LazyImportType", ())
standard = [module for name, module in sys.modules.items() if name.partition(".")[0] in sys.stdlib_module_names]
print(*(f"{module.__name__}.{name}" for module in standard for name, value in vars(module).items() if isinstance(value, lazy)))
"""


def test_no_module_of_the_standard_library_has_a_lazy_import_left() -> None:
    # Measuring the coverage of a process imports some of them.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    ran = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout == "\n"
