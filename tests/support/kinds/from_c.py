"""Calls by C code: the interpreter puts a frame of its own below each of them."""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="assignment, attr-defined, override, var-annotated"
# The functions only make frames: their code is unusual on purpose.

import ctypes
import functools
import gc
import importlib
import itertools
import json
import re
import signal
import sys
import tempfile
import threading
from pathlib import Path

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
COMPARE_WITH_GIL = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def sort_key(call, _):
    return sorted([1], key=lambda _: (call(), 1)[1])


def partial(call, _):
    return functools.partial(lambda _, function: function(), 1)(call)


def reduce(call, _):
    return functools.reduce(lambda _a, _b: call(), [1, 2])


def map_and_filter(call, _):
    return list(map(lambda x: list(filter(lambda _: call() or 1, [x])), [1]))


def ctypes_callback(call, _):
    def callback(_):
        call()
        return 0

    return CALLBACK(callback)(3)


def qsort(call, _):
    return _qsort(call, COMPARE, ctypes.CDLL(None))


def qsort_with_gil(call, _):
    return _qsort(call, COMPARE_WITH_GIL, ctypes.PyDLL(None))


def _qsort(call, kind, library):
    once = _once(call)
    compare = kind(lambda _a, _b: once() or 0)
    library.qsort((ctypes.c_int * 2)(2, 1), 2, 4, compare)


def json_default(call, _):
    return json.dumps(object(), default=lambda _: (call(), 1)[1])


def json_hook(call, _):
    return json.loads('{"a":1}', object_hook=lambda _: call())


def regular_expression(call, _):
    return re.sub("a", lambda _: (call(), "b")[1], "a")


def group_by(call, _):
    return [1 for _ in itertools.groupby([1], key=lambda _: call())]


def imported_module(call, rng):
    name = f"imported_{rng.randrange(10**9)}"
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, f"{name}.py").write_text("import sys\nx = 1\nsys._call_of_a_test()\n")
        sys._call_of_a_test = call
        sys.path.insert(0, directory)
        try:
            importlib.import_module(name)
        finally:
            sys.path.remove(directory)
            sys.modules.pop(name, None)


def profile_function(call, _):
    if sys.getprofile():
        return call()

    def profile(_frame, _event, _arg):
        sys.setprofile(None)
        call()

    sys.setprofile(profile)
    len("a")
    return sys.setprofile(None)


def trace_function(call, _):
    if sys.gettrace():
        return call()
    once = _once(call)

    def trace(_frame, event, _arg):
        if event == "line":
            sys.settrace(None)
            once()
        return trace

    def traced():
        x = 1
        x = 2
        return x

    sys.settrace(trace)
    traced()
    return sys.settrace(None)


def traced(call, _):
    if sys.gettrace():
        return call()

    def trace(_frame, _event, _arg):
        return trace

    sys.settrace(trace)
    try:
        return call()
    finally:
        sys.settrace(None)


def collection(call, _):
    def collected(_phase, _info):
        gc.callbacks.remove(collected)
        call()

    gc.callbacks.append(collected)
    gc.collect(0)


def signal_handler(call, _):
    if threading.current_thread() is not threading.main_thread():
        return call()
    once = _once(call)
    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: once())
    try:
        return signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def _once(call):
    called = []

    def once():
        if not called:
            called.append(1)
            call()

    return once
