"""Every check, by name: ``nox -s lint``, ``nox -s tests``."""

import nox

nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lints and types, of Rust and Python, and the stub against the binary: the tree's, or that of a wheel."""
    session.run("cargo", "fmt", "--check", external=True)
    session.run("cargo", "clippy", "--all-targets", "--", "-D", "warnings", external=True)
    session.install(*session.posargs or [".[lint,test]"])
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")
    session.run("python", "-m", "mypy.stubtest", "gilscope._core")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the suite on this Python."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)
