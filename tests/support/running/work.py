# The comment on a line names the functions that may be called from the line; "." says that the line may be the innermost.
# mypy: ignore-errors
# fmt: off
import functools
import os
import re
import sys
import threading
import time


def leaf1(x):
    y = x + 1  # -> .
    y *= 2  # -> .
    return y  # -> .
def leaf2(x):
    s = 0  # -> .
    for i in range(20):  # -> .
        s += i  # -> .
    return s  # -> .
def rec(n):
    if n == 0:  # -> .
        return leaf1(n)  # -> leaf1 .
    a = leaf2(n)  # -> leaf2 .
    b = rec(n - 1)  # -> rec .
    return a + b  # -> .
def gen(n):
    for i in range(n):  # -> .
        x = leaf1(i)  # -> leaf1 .
        yield x  # -> .
        x = leaf2(i)  # -> leaf2 .
def gen2(n):
    yield 1  # -> .
    yield from gen(n)  # -> gen .
    yield 2  # -> .
def usegen(n):
    t = 0  # -> .
    for v in gen2(n):  # -> gen2 .
        t += v  # -> .
        leaf1(t)  # -> leaf1 .
    return t  # -> .
def key(x):
    leaf1(x)  # -> leaf1 .
    return -x  # -> .
def sorter(n):
    a = sorted(range(n), key=key)  # -> key .
    b = list(map(key, a))  # -> key .
    return b  # -> .
def raiser(n):
    if n == 0:  # -> .
        raise ValueError(n)  # -> .
    raiser(n - 1)  # -> raiser .
def catcher(n):
    try:  # -> .
        raiser(n)  # -> raiser .
    except ValueError:  # -> .
        leaf2(n)  # -> leaf2 .
    return 1  # -> .
async def co(n):
    if n:  # -> .
        await co(n - 1)  # -> co .
    leaf1(n)  # -> leaf1 .
    return n  # -> .
def drive(n):
    c = co(n)  # -> co .
    try:  # -> .
        c.send(None)  # -> co .
    except StopIteration:  # -> .
        pass  # -> .
class D:
    def __init__(self, n):
        self.n = n  # -> .
        leaf1(n)  # -> leaf1 .
    def __del__(self):
        leaf2(self.n)  # -> leaf2 .
    def __lt__(self, o):
        return self.n < o.n  # -> .
def objs(n):
    x = D(n)  # -> D.__init__ .
    y = [D(i) for i in range(3)]  # -> objs.<locals>.<listcomp> D.__init__ .
    y.sort()  # -> D.__lt__ .
    x = None  # -> D.__del__ .
    y = None  # -> D.__del__ .
SOURCE = "def dyn%d(x):\n    leaf1(x)\n    return x\n"
def execs(n):
    d = {"leaf1": leaf1}  # -> .
    exec(compile(SOURCE % n, "/compiled/dyn%d.py" % n, "exec"), d)  # -> DYN .
    f = d["dyn%d" % n]  # -> .
    f(n)  # -> DYN .
    f = d = None  # -> .
def sleeper(n):
    time.sleep(0.0005)  # -> .
def sub(m):
    leaf1(1)  # -> leaf1 .
    return "b"  # -> .
def mid(n):
    p = functools.partial(rec, 3)  # -> .
    p()  # -> rec .
    re.sub("a", sub, "xaax")  # -> sub LIBRARY .
def work(n):
    k = rec(n % 9)  # -> rec .
    usegen(n % 5)  # -> usegen .
    sorter(n % 11)  # -> sorter .
    catcher(n % 7)  # -> catcher .
    drive(n % 6)  # -> drive .
    objs(n)  # -> objs D.__del__ .
    execs(n)  # -> execs .
    sleeper(n) if n % 4 == 0 else None  # -> sleeper .
    mid(n)  # -> mid .
stop = False
def forever(seed):
    n = seed  # -> .
    while not stop:  # -> .
        work(n)  # -> work .
        n += 1  # -> .
def importer(n):
    sys.modules.pop("colorsys", None)  # -> .
    import colorsys  # -> LIBRARY .
def short_lived(n):
    work(n)  # -> work .
    importer(n)  # -> importer .
def spawner():
    n = 0  # -> .
    while not stop:  # -> .
        t = threading.Thread(target=short_lived, args=(n,))  # -> LIBRARY .
        t.start()  # -> LIBRARY .
        t.join()  # -> LIBRARY .
        n += 1  # -> .
def forker():
    while not stop:  # -> .
        pid = os.fork()  # -> LIBRARY .
        os._exit(0) if pid == 0 else None  # -> .
        os.waitpid(pid, 0)  # -> .
        time.sleep(0.01)  # -> .
