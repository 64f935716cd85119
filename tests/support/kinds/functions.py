"""Calls by functions, comprehensions and statements."""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="assignment, attr-defined, override, var-annotated"
# The functions only make frames: their code is unusual on purpose.

import contextlib
import functools


def recursion(call, rng):
    def down(depth):
        if depth:
            return down(depth - 1)
        return call()

    return down(rng.choice([1, 2, 5, 20, 60, 200, 500]) if rng.random() < 0.4 else rng.randrange(1, 12))


def list_comprehension(call, _):
    return [call() for _ in (0,)]


def nested_comprehension(call, _):
    return {
        key: value
        for key in (1,)
        for value in [
            call()
        ]
    }  # fmt: skip


def set_comprehension(call, _):
    return {str(call()) for _ in "a" if 1}


def lambdas(call, _):
    return (lambda *_: (lambda: call())())(1)


def decorator(call, _):
    def decorate(function):
        call()
        return function

    @decorate
    @functools.wraps(decorate)
    def decorated():
        pass


def wrapper(call, _):
    def wrap(function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapped

    @wrap
    @wrap
    def inner(_a, *, b):
        return call()

    return inner(1, b=2)


def context_manager(call, _):
    @contextlib.contextmanager
    def manager():
        yield call()

    with manager():
        pass


def context_exit(call, _):
    class Manager:
        def __enter__(self):
            return 1

        def __exit__(self, *_):
            call()
            return True

    with Manager():
        raise ValueError


def exception_handler(call, _):
    try:
        try:
            raise ValueError
        except ValueError:
            raise KeyError
        finally:
            pass
    except Exception as _error:
        return call()


def finally_clause(call, _):
    try:
        return 1
    finally:
        call()


def match_statement(call, _):
    class Point:
        __match_args__ = ("x",)

        @property
        def x(self):
            return call() or 1

    match Point():
        case Point(None):
            pass
        case Point(1) if 1:
            pass


def closure(call, _):
    a = b = c = 1

    def inner(x, *y, **z):
        _captured = lambda: (a, b, c, x, y, z)
        return call()

    return inner(1, 2, k=3)


def formatted_string(call, _):
    class Formatted:
        def __format__(self, _):
            call()
            return ""

    return f"{Formatted():>3}"
