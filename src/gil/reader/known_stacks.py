"""Calls ``look`` from a stack that has every kind of frame. The self-check of the stack reader runs this.

No name of ``builtins`` is used: the program may have replaced it. All names are ASCII: to compile others, Python imports a
module. The self-check gives the functions other names, and the last one another line table.
"""


def run(depth):
    if depth:
        return run(depth - 1)
    return [0].sort(key=called_by_c)


def called_by_c(_):
    return [*generator()]


def generator():
    yield from coroutine().__await__()


async def coroutine():
    without_lines()


def without_lines():
    look()
