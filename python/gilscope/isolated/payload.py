"""What a trial runs, in a form that reaches another process.

Importing this module costs little: a process pool's workers import the main module again, and with it this one.
"""

from __future__ import annotations

import io
import pickle
import sys
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gilscope.comparison.statement_module import ARGUMENTS, FUNCTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_importing_main = False


class Kernel(msgspec.Struct, frozen=True, tag="kernel"):
    """A public function of gilscope by its name, and the steps that it is to do."""

    function: str
    count: int

    def load(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        import gilscope

        return getattr(gilscope, self.function), (self.count,)


class Packed(msgspec.Struct, frozen=True, tag="packed"):
    """A callable and its arguments, pickled, and what a process needs in order to find what they name."""

    pickled: bytes
    surroundings: bytes
    """Pickled: what multiprocessing's ``spawn`` gives a new process, but for its secret."""

    def load(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the callable and its arguments. Raises whatever looking them up and importing their modules raises."""
        function, args = unpack(self.pickled, pickle.loads(self.surroundings))  # noqa: S301 - our parent's own
        return function, args


class Statement(msgspec.Struct, frozen=True, tag="statement"):
    """A statement and its setup, as the module that :mod:`gilscope.comparison.statement_module` wrote into ``folder``."""

    folder: str
    module: str

    def load(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the statement as a function and its arguments. Raises whatever the setup raises."""
        # What the pools of this process import later comes from the standard library, whatever lies in the directory.
        from concurrent.futures import process, thread  # noqa: F401

        search(self.folder)
        namespace = vars(import_module(self.module))
        return namespace[FUNCTION], tuple(namespace[name] for name in namespace[ARGUMENTS])


Work = Kernel | Packed | Statement


def search(folder: str) -> None:
    """Have this process find the statement's module in ``folder``, and first the user's own in the working directory.

    The latter is what ``python -m timeit`` does; that is left out of the path by a child's ``-P``, and by the script that
    pip makes of the command. Pools of processes and of interpreters take the path of who starts them.
    """
    wanted = [folder]
    with suppress(FileNotFoundError):  # the directory may be gone
        wanted.insert(0, str(Path.cwd()))
    sys.path[:] = [*wanted, *(entry for entry in sys.path if entry not in wanted)]


def pack(function: Callable[..., Any], args: tuple[Any, ...]) -> Packed:
    """Pickle a callable and its arguments. Raises whatever pickling them raises."""
    from multiprocessing import spawn

    everything = spawn.get_preparation_data("gilscope")
    wanted = ("sys_path", "sys_argv", "orig_dir", "dir", "init_main_from_name", "init_main_from_path")
    surroundings = {key: everything[key] for key in wanted if key in everything}
    return Packed(pickled=pickle.dumps((function, args)), surroundings=pickle.dumps(surroundings))


def unpack(pickled: bytes, surroundings: dict[str, Any]) -> Any:
    """Unpickle what :func:`pack` pickled elsewhere, importing the script that it was defined in only if it names it."""
    from multiprocessing import spawn

    main: dict[str, Any] = {
        key: surroundings.pop(key) for key in ("init_main_from_name", "init_main_from_path") if key in surroundings
    }
    spawn.prepare(surroundings)

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if module == "__main__":
                with _import_of_main():
                    spawn.prepare(main)
                _call_main_main()
            return super().find_class(module, name)

    return Unpickler(io.BytesIO(pickled)).load()


def refuse_while_importing_main() -> None:
    """Raise ``RuntimeError`` where a worker is importing the script that called us, so that it does not begin again."""
    from multiprocessing import process

    if _importing_main or getattr(process.current_process(), "_inheriting", False):
        raise RuntimeError(
            "gilscope was called while a worker imported this script to find a function in it; "
            "put the call under `if __name__ == '__main__':`"
        )


def _call_main_main() -> None:
    """Have what multiprocessing imported as ``__mp_main__`` say that it is from ``__main__``, which is its alias.

    A pool's worker finds it by either name, a cluster's by neither: dask sends what is from ``__main__`` by value.
    """
    for value in vars(sys.modules["__main__"]).values():
        if getattr(value, "__module__", None) == "__mp_main__":
            with suppress(AttributeError, TypeError):
                value.__module__ = "__main__"


@contextmanager
def _import_of_main() -> Iterator[None]:
    # Set on the module that the script will import, which is not this one where this one runs as __main__.
    here = sys.modules["gilscope.isolated.payload"]
    here._importing_main = True  # type: ignore[attr-defined]  # noqa: SLF001
    try:
        yield
    finally:
        here._importing_main = False  # type: ignore[attr-defined]  # noqa: SLF001
