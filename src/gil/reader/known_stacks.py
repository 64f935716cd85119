"""Calls ``look`` from a stack that has every kind of frame. The self-check of the stack reader runs this.

No name of ``builtins`` is used: the program may have replaced it.
"""


def run(depth):
    if depth:
        return run(depth - 1)
    return [0].sort(key=appelé)


def appelé(_):  # by C code
    return [*生成()]


def 生成():  # a generator
    yield from 𐐀().__await__()


async def 𐐀():
    without_lines()


def without_lines():  # as it says, once the self-check has replaced its line table
    look()
