"""The probes of the page on services tell a service that is alive from one that hangs or is gone."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.services.service import PAGE

if TYPE_CHECKING:
    from pathlib import Path


def beat(*, age: float | None, written: float) -> str:
    time = datetime.now(UTC) - timedelta(seconds=written)
    shown = time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"heartbeat_schema": 1, "time": shown, "state": "busy", "age": age}).ljust(2047) + "\n"


@pytest.fixture(params=["python", "jq"])
def probe(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Return the command of a probe, which reads ``beat.json`` of the test's folder."""
    file = str(tmp_path / "beat.json")
    if request.param == "python":
        (code,) = re.findall(r"```python title=\"alive.py\"\n(.*?)```", PAGE, re.DOTALL)
        (tmp_path / "alive.py").write_text(code.replace("/run/app/heartbeat.json", file))
        return [sys.executable, "-IS", str(tmp_path / "alive.py")]
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    (line,) = re.findall(r"^jq .*$", PAGE, re.MULTILINE)
    return shlex.split(line.replace("/run/app/heartbeat.json", file))


@pytest.mark.parametrize(
    ("age", "written", "alive"),
    [(0.0, 0.5, True), (12.5, 1.0, True), (None, 1.0, True), (31.0, 1.0, False), (0.0, 40.0, False)],
)
def test_a_service_is_alive_if_its_file_is_recent_and_its_loops_respond(
    probe: list[str], tmp_path: Path, age: float | None, written: float, *, alive: bool
) -> None:
    (tmp_path / "beat.json").write_text(beat(age=age, written=written))
    ended = subprocess.run(probe, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode == 0, ended.stderr) == (alive, "")


@pytest.mark.parametrize("text", [None, "", "{"])
def test_a_file_that_is_missing_or_damaged_fails_the_probe(probe: list[str], tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "beat.json").write_text(text)
    assert subprocess.run(probe, capture_output=True, timeout=60, check=False).returncode != 0
