"""Calls by classes, their methods and their operators."""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="assignment, attr-defined, override, var-annotated"
# The functions only make frames: their code is unusual on purpose.

import contextlib
import dataclasses
import enum
import unittest.mock
import weakref


def class_body(call, _):
    class _Outer:
        call()

        class _Inner:
            pass


def metaclass(call, _):
    class Meta(type):
        def __new__(cls, *args, **_kwargs):
            call()
            return type.__new__(cls, *args)

        @classmethod
        def __prepare__(cls, *_):
            return {}

    class _Made(metaclass=Meta):
        pass


def set_name(call, _):
    class Descriptor:
        def __set_name__(self, owner, name):
            call()

    class _Owner:
        attribute = Descriptor()


def init_subclass(call, _):
    class Base:
        def __init_subclass__(cls):
            call()

    class _Derived(Base):
        pass


def finalizer(call, _):
    class Freed:
        def __del__(self):
            call()

    freed = Freed()
    freed = None


def finalizer_in_list(call, _):
    class Freed:
        def __del__(self):
            call()

    def use():
        _freed = [Freed(), 1]

    use()


def comparison(call, _):
    class Value:
        def __lt__(self, other):
            call()
            return True

    return [Value(), Value()].sort()


def attribute(call, _):
    class Dynamic:
        @property
        def x(self):
            return call()

        def __getattr__(self, name):
            return self.x if name == "y" else 0

    return Dynamic().y


def operators(call, _):
    class Value:
        def __add__(self, _):
            return call()

        def __call__(self, *_):
            return self + 1

        def __getitem__(self, _):
            return self()

        def __contains__(self, _):
            return self[1]

        def __bool__(self):
            return 3 in self or True

    return not Value()


def hashing(call, _):
    called = []

    class Key:
        def __hash__(self):
            if not called:
                called.append(1)
                call()
            return 5

        def __eq__(self, other):
            return False

    return {Key(): 1, Key(): 2}


def weak_reference(call, _):
    class Referent:
        pass

    referent = Referent()
    _reference = weakref.ref(referent, lambda _: call())
    referent = None


def dataclass(call, _):
    @dataclasses.dataclass
    class Data:
        a: int = 1

        def __post_init__(self):
            call()

    return Data()


def enumeration(call, _):
    class _Numbers(enum.Enum):
        ONE = 1

        def __init__(self, _):
            call()


def super_method(call, _):
    class Base:
        def method(self):
            return call()

    class Derived(Base):
        def method(self):
            return super().method()

    return Derived().method()


def initializer(call, _):
    class Made:
        def __init__(self, a):
            self.a = a
            call()

    return Made(1)


def constructor(call, _):
    class Made:
        def __new__(cls):
            call()
            return object.__new__(cls)

    return Made()


def iteration(call, _):
    class Iterator:
        def __iter__(self):
            return self

        def __next__(self):
            call()
            raise StopIteration

    for _ in Iterator():
        pass
    return [*Iterator()]


def representation(call, _):
    class Shown:
        def __repr__(self):
            call()
            return "shown"

    return repr([Shown()])


def mock_object(call, _):
    return unittest.mock.Mock(side_effect=lambda: call())()


def exit_stack(call, _):
    with contextlib.ExitStack() as stack:
        stack.callback(call)
