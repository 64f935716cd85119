"""Every check by name: ``nox`` runs all, ``nox -s lint`` only one, ``nox -l`` lists them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import nox

ROOT = Path(__file__).parent
VERSIONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
WHEELS: list[Path] = []
"""The wheel, once it is built."""

nox.options.default_venv_backend = "uv|venv"  # uv, where it is installed, saves half a minute a session
nox.options.reuse_existing_virtualenvs = True


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, lints, types, the stub against the binary, and that the documentation builds."""
    session.run("cargo", "fmt", "--check", external=True)
    session.run("cargo", "clippy", "--all-targets", "--", "-D", "warnings", external=True)
    install(session, "lint", "test")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")
    session.run("python", "-m", "mypy.stubtest", "gilscope._core")
    session.run("mkdocs", "build", "--strict", "--quiet", "--site-dir", session.create_tmp())


@nox.session(venv_backend="none")
def rust(session: nox.Session) -> None:
    """Run the tests that are written in Rust."""
    session.run("cargo", "test", "--quiet", external=True)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run the README's test command; what follows ``--`` goes to pytest."""
    command = re.findall(r"^```sh\n(.*?)\s*^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)[1]
    arguments = shlex.join(options(DEFAULT, session.posargs))
    session.run("bash", "-euo", "pipefail", "-c", f"{command} {arguments}", external=True)


def tests_on(version: str) -> None:
    """Declare the session that runs the suite on a given Python, from the wheel that all these sessions share."""
    python = PYTHONS[version]

    @nox.session(name=f"tests-{version}", python=python or False)
    def tests_of_this_version(session: nox.Session) -> None:
        if python is None:
            session.skip(f"CPython {version} is not on this machine")
        install(session, "test")
        session.run("pytest", *options(version, session.posargs))


def options(version: str | None, posargs: list[str]) -> list[str]:
    """Return pytest's options for a run on this Python, and ``posargs``.

    The newest Python measures the coverage, unless ``posargs`` ask for a part of the suite: it costs least there.
    """
    if version == NEWEST and not posargs:
        return ["--cov=gilscope", f"--cov-fail-under={97 if version in {'3.14', '3.15'} else 96}"]
    thorough = [] if version in {DEFAULT, OLDEST, NEWEST} else ["--skip-thorough"]
    return thorough + posargs


def install(session: nox.Session, *extras: str) -> None:
    """Install gilscope with what its extras need, from the one wheel."""
    wheel = built_wheel(session)
    session.install("--force-reinstall", "--no-deps", str(wheel))  # the version is the same, the content may differ
    session.install(f"{wheel}[{','.join(extras)}]")


def built_wheel(session: nox.Session) -> Path:
    """Return the abi3 wheel for all Pythons; the first session that asks builds it."""
    folder = session.cache_dir / "wheel"
    if not WHEELS:
        shutil.rmtree(folder, ignore_errors=True)
        session.install(*nox.project.load_toml("pyproject.toml")["build-system"]["requires"])
        session.run("maturin", "build", "--release", "--quiet", "--out", str(folder))
        WHEELS.extend(folder.glob("gilscope-*-cp311-abi3-*.whl"))
    return WHEELS[0]


def interpreter(version: str) -> str | None:
    """Return the path of a CPython of this version: on the PATH, or one that pyenv installed."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [Path(folder) / f"python{version}" for folder in os.get_exec_path()]
    candidates += sorted(pyenv.glob(f"versions/{version}.*/bin/python"))
    return next((str(candidate) for candidate in candidates if version_of(candidate) == version), None)


def version_of(python: Path | str) -> str | None:
    """Return the version that an interpreter reports. A shim of pyenv for a version that is not selected reports none."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        return subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return None


PYTHONS = {version: interpreter(version) for version in VERSIONS}
DEFAULT = version_of("python3")
OLDEST = next((version for version in VERSIONS if PYTHONS[version]), DEFAULT)
NEWEST = next((version for version in reversed(VERSIONS) if PYTHONS[version]), DEFAULT)
nox.options.sessions = ["lint", "rust", "tests"]
for each in VERSIONS:
    tests_on(each)
    if each != DEFAULT:
        nox.options.sessions.append(f"tests-{each}")
