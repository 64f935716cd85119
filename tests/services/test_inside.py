"""A watch in a notebook and in tests, where the loop runs already and belongs to somebody else."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.services.service import planted, written

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.thorough


def output(folder: Path, *arguments: str) -> str:
    """Return what ``python -m ARGUMENTS`` prints in ``folder``, whatever its exit status."""
    environment = {**os.environ, "HOME": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ended = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return ended.stdout + ended.stderr


def test_a_watch_in_a_jupyter_notebook_names_the_line_of_a_cell(tmp_path: Path) -> None:
    notebook = """
        import nbformat
        from nbclient import NotebookClient

        CELLS = [
            "import gilscope, time\\nwatch = gilscope.Watch(stall=0.05)\\nwatch.start()",
            "rows = 3\\ntime.sleep(1.0)\\nrows",
            "watch.stop()\\nfor it in watch.snapshot().worst: print(it.cause, '|', it.culprit and it.culprit.line)",
        ]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
        NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
        print(notebook.cells[2].outputs[0].text)
    """
    written(tmp_path, "notebook.py", notebook)
    printed = output(tmp_path, "notebook")
    assert "blocked, waiting | 2" in printed.splitlines(), printed


def test_async_tests_in_workers_of_xdist_are_watched(tmp_path: Path) -> None:
    suite = """
        import asyncio
        import time

        import gilscope
        import pytest


        async def blocks():
            await asyncio.sleep(0.02)
            time.sleep(1.0)  # stalls
            await asyncio.sleep(0.02)


        @pytest.mark.limit_loop_lag("100ms")
        async def test_limited():
            await blocks()


        @pytest.mark.limit_loop_lag("100ms")
        async def test_well_behaved():
            await asyncio.sleep(0.02)


        async def test_watched():
            with gilscope.Watch(stall=0.05) as watch:
                await blocks()
            for stall in watch.snapshot().worst:
                print("seen:", stall.cause, stall.culprit)
            assert False
    """
    file = written(tmp_path, "test_suite.py", suite)
    written(tmp_path, "pytest.ini", "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    plugins = ("-p", "xdist", "-p", "pytest_asyncio.plugin", "-p", "gilscope.pytest_plugin", "-p", "no:cacheprovider")
    printed = output(tmp_path, "pytest", "-n", "2", *plugins, "test_suite.py")
    assert "2 failed, 1 passed" in printed, printed
    assert f"blocked, waiting at {planted(file)} in blocks" in printed, printed
    assert f"seen: blocked, waiting {file}:{planted(file).partition(':')[2]} in blocks" in printed, printed
