"""Calls by generators and coroutines, whose frames lie in objects on the heap."""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="assignment, attr-defined, override, var-annotated"
# The functions only make frames: their code is unusual on purpose.

import asyncio
import contextlib
import types


def generator_expression(call, _):
    return list(
        call() for _ in
        (0,)
    )  # fmt: skip


def generator(call, _):
    def generate():
        yield 1
        try:
            yield call()
        finally:
            pass

    for _ in generate():
        pass


def yield_from(call, rng):
    def generate(depth):
        if depth:
            yield from generate(depth - 1)
        else:
            yield call()

    return list(generate(rng.randrange(1, 9)))


def generator_send(call, _):
    def generate():
        yield
        call()
        yield 2

    generator = generate()
    next(generator)
    generator.send(3)
    generator.close()


def generator_throw(call, _):
    def generate():
        try:
            yield 1
        except KeyError:
            call()
        yield

    generator = generate()
    next(generator)
    generator.throw(KeyError(1))


def generator_close(call, _):
    def generate():
        try:
            yield 1
        finally:
            call()

    generator = generate()
    next(generator)
    generator.close()


def generator_freed(call, _):
    def generate():
        try:
            yield 1
        finally:
            call()

    generator = generate()
    next(generator)
    generator = None


def coroutine(call, rng):
    async def down(depth):
        if depth:
            return await down(depth - 1)
        return call()

    with contextlib.suppress(StopIteration):
        down(rng.randrange(6)).send(None)


def generator_based_coroutine(call, _):
    @types.coroutine
    def pause():
        yield call()

    async def awaiting():
        await pause()

    waiting = awaiting()
    waiting.send(None)
    waiting.close()


def async_generator(call, _):
    async def generate():
        yield 1
        yield call()

    async def empty():
        if 0:
            yield

    async def iterate():
        async for _ in generate():
            pass
        return [item async for item in empty()]

    with contextlib.suppress(StopIteration):
        iterate().send(None)


def async_with(call, _):
    class Manager:
        async def __aenter__(self):
            return call()

        async def __aexit__(self, *_):
            pass

    async def enter():
        async with Manager(), \
                contextlib.AsyncExitStack():  # fmt: skip
            return 1

    with contextlib.suppress(StopIteration):
        enter().send(None)


def task(call, _):
    if _runs_a_loop():
        return call()

    async def inner():
        return call()

    async def main():
        await asyncio.gather(asyncio.create_task(inner()), asyncio.sleep(0))

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


def loop_callback(call, _):
    if _runs_a_loop():
        return call()
    loop = asyncio.new_event_loop()
    try:
        loop.call_soon(lambda: (call(), loop.stop()))
        return loop.run_forever()
    finally:
        loop.close()


def _runs_a_loop():
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
