"""What a trial calls, in a form that can be sent to another process."""

from __future__ import annotations

import io
import pickle
import sys
from contextlib import contextmanager, suppress
from importlib import import_module
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_importing_main = False


class ImportedByWorkerError(RuntimeError):
    """gilscope was called while a worker imported the script that calls it."""


class Kernel(msgspec.Struct, frozen=True, tag="kernel"):
    """A countdown, by its dotted name such as ``"package:function"``, and the steps that it is to count down."""

    function: str
    count: int

    def load(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the countdown and its arguments."""
        return resolve_name(self.function), (self.count,)


class PickledCall(msgspec.Struct, frozen=True, tag="pickled"):
    """A callable and its arguments, pickled, and what a process needs in order to import what the pickle names."""

    pickled: bytes
    preparation_data: bytes
    """Pickled: what multiprocessing's ``spawn`` passes to a new process, except for its authentication key."""

    def load(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the callable and its arguments. Raise whatever importing their modules raises."""
        preparation_data = pickle.loads(self.preparation_data)  # noqa: S301 - our parent's own
        function, args = _unpickled(self.pickled, preparation_data)
        return function, args


class Statement(msgspec.Struct, frozen=True, tag="statement"):
    """A statement that a module in ``folder`` has as a function; the module is the setup's source."""

    folder: str
    module: str
    function: str
    """The function's name in the module."""
    arguments: str
    """The name of the list that has the names of the function's arguments in the module."""

    def load(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the statement as a function, and its arguments. Raise whatever the setup raises."""
        from gilscope.isolated.search_path import search, users_first

        search(users_first(self.folder))
        namespace = vars(import_module(self.module))
        return namespace[self.function], tuple(namespace[name] for name in namespace[self.arguments])


Work = Kernel | PickledCall | Statement


def pickled(function: Callable[..., Any], args: tuple[Any, ...]) -> PickledCall:
    """Pickle a callable and its arguments. Raise whatever pickling them raises."""
    from multiprocessing import spawn

    everything = spawn.get_preparation_data("gilscope")
    wanted = ("sys_path", "sys_argv", "orig_dir", "dir", "init_main_from_name", "init_main_from_path")
    preparation_data = {key: everything[key] for key in wanted if key in everything}
    return PickledCall(pickled=pickle.dumps((function, args)), preparation_data=pickle.dumps(preparation_data))


def _unpickled(pickle_bytes: bytes, preparation_data: dict[str, Any]) -> Any:
    """Unpickle what another process pickled. Import its main script only if the pickle names something in it."""
    from multiprocessing import spawn

    import gilscope.isolated.search_path  # noqa: F401 - before spawn.prepare sets the user's path

    main: dict[str, Any] = {
        key: preparation_data.pop(key)
        for key in ("init_main_from_name", "init_main_from_path")
        if key in preparation_data
    }
    spawn.prepare(preparation_data)

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if module == "__main__":
                with _import_of_main():
                    spawn.prepare(main)
                _rename_to_main()
            return super().find_class(module, name)

    return Unpickler(io.BytesIO(pickle_bytes)).load()


def refuse_while_importing_main() -> None:
    """Raise :class:`ImportedByWorkerError` if a worker is importing the script that called gilscope.

    Otherwise the worker would run the script's measurements again.
    """
    from multiprocessing import process

    if _importing_main or getattr(process.current_process(), "_inheriting", False):
        raise ImportedByWorkerError(
            "gilscope was called while a worker imported this script to find a function in it; "
            "put the call under `if __name__ == '__main__':`"
        )


def _rename_to_main() -> None:
    """Set ``__module__`` of what multiprocessing imported as ``__mp_main__`` to ``__main__``, which is its alias.

    A pool's worker finds an object under either name. A dask worker finds it under neither: dask sends what belongs to
    ``__main__`` by value.
    """
    for value in vars(sys.modules["__main__"]).values():
        if getattr(value, "__module__", None) == "__mp_main__":
            with suppress(AttributeError, TypeError):
                value.__module__ = "__main__"


@contextmanager
def _import_of_main() -> Iterator[None]:
    global _importing_main  # noqa: PLW0603 - the script that is imported calls us back
    _importing_main = True
    try:
        yield
    finally:
        _importing_main = False
