"""Callables whose verdict follows from the source code of what they call.

``where`` names the file of CPython that has ``Py_BEGIN_ALLOW_THREADS``, or lacks it, or whatever else decides. A call takes
some milliseconds, well over the 1 ms of a long hold.
"""

from __future__ import annotations

import ast
import atexit
import base64
import bz2
import collections
import copy
import csv
import ctypes
import functools
import gc
import hashlib
import itertools
import json
import lzma
import marshal
import math
import os
import pickle
import pprint
import random
import re
import select
import sqlite3
import sys
import threading
import time
import unicodedata
import weakref
import zlib
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import gilscope

Call = Callable[[], Any]


class Case(NamedTuple):
    """One callable: its true verdict, the source that shows it, and how to make it."""

    name: str
    truth: str
    where: str
    make: Callable[[], Call]


RANDOM = random.Random(1)
NOISE = RANDOM.randbytes(2_000_000)
TEXT = "the quick brown fox jumps over the lazy dog; " * 20_000
RECORDS = [{"id": n, "name": str(n), "tags": ["a", "b"]} for n in range(20_000)]
FLOATS = [RANDOM.random() for _ in range(100_000)]
WORDS = TEXT.split()
ROWS = ["1,two,3.0,four"] * 30_000
SOURCE = "x = [a + b * c for a, b, c in d]\n" * 600
XML = "<all>" + "<one name='x'>text</one>" * 20_000 + "</all>"
BIG = (1 << 3000) - 159
COUNTING = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 100000) SELECT sum(x) FROM c"


def read_zeros() -> Call:
    zeros = os.open("/dev/zero", os.O_RDONLY)
    call = functools.partial(os.read, zeros, 40_000_000)
    weakref.finalize(call, os.close, zeros)
    return call


def query() -> Call:
    connection = sqlite3.connect(":memory:")
    atexit.register(connection.close)  # the call may be made as long as the process lives
    return lambda: connection.execute(COUNTING).fetchall()


def locked() -> Call:
    lock = threading.Lock()
    lock.acquire()
    return lambda: lock.acquire(timeout=0.005)


def collect() -> Call:
    kept = [[n] for n in range(300_000)]
    return lambda: (gc.collect(), kept)[0]


def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def compare(one: float, other: float) -> int:
    return (one > other) - (one < other)


def usleep(library: type[ctypes.CDLL], seconds: float) -> Call:
    function = library(None).usleep
    return lambda: function(int(seconds * 1e6))


RELEASES = [
    Case("zlib.compress", "releases", "Modules/zlibmodule.c, around deflate", lambda: lambda: zlib.compress(NOISE)),
    Case("zlib.crc32", "releases", "Modules/zlibmodule.c, over 5 KiB", lambda: lambda: zlib.crc32(NOISE * 4)),
    Case("zlib.adler32", "releases", "Modules/zlibmodule.c, over 5 KiB", lambda: lambda: zlib.adler32(NOISE * 4)),
    Case(
        "bz2.compress",
        "releases",
        "Modules/_bz2module.c, around BZ2_bzCompress",
        lambda: lambda: bz2.compress(NOISE[:200_000]),
    ),
    Case(
        "lzma.compress",
        "releases",
        "Modules/_lzmamodule.c, around lzma_code",
        lambda: lambda: lzma.compress(NOISE[:50_000]),
    ),
    Case(
        "hashlib.sha256",
        "releases",
        "Modules/_hashopenssl.c, from 2048 bytes on",
        lambda: lambda: hashlib.sha256(NOISE),
    ),
    Case("hashlib.blake2b", "releases", "Modules/_blake2, from 2048 bytes on", lambda: lambda: hashlib.blake2b(NOISE)),
    Case(
        "hashlib.sha3_256",
        "releases",
        "Modules/_hashopenssl.c, from 2048 bytes on",
        lambda: lambda: hashlib.sha3_256(NOISE),
    ),
    Case(
        "hashlib.pbkdf2_hmac",
        "releases",
        "Modules/_hashopenssl.c, around PKCS5_PBKDF2_HMAC",
        lambda: lambda: hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 20_000),
    ),
    Case(
        "hashlib.scrypt",
        "releases",
        "Modules/_hashopenssl.c, around EVP_PBE_scrypt",
        lambda: lambda: hashlib.scrypt(b"secret", salt=b"salt", n=4096, r=8, p=1),
    ),
    Case("time.sleep", "releases", "Modules/timemodule.c, pysleep", lambda: lambda: time.sleep(0.005)),
    Case("os.urandom", "releases", "Python/bootstrap_hash.c, around getrandom", lambda: lambda: os.urandom(4_000_000)),
    Case("os.read", "releases", "Python/fileutils.c, _Py_read", read_zeros),
    Case("Lock.acquire", "releases", "Modules/_threadmodule.c, acquire_timed", locked),
    Case("select.select", "releases", "Modules/selectmodule.c", lambda: lambda: select.select([], [], [], 0.005)),
    Case("sqlite3 query", "releases", "Modules/_sqlite, around sqlite3_step", query),
    Case("ctypes.CDLL", "releases", "Modules/_ctypes/callproc.c", lambda: usleep(ctypes.CDLL, 0.005)),
]
YIELDS = [
    Case(
        "sum of a generator",
        "yields",
        "Python/ceval.c, each turn of a loop",
        lambda: lambda: sum(n * n for n in range(200_000)),
    ),
    Case("a recursive function", "yields", "Python/ceval.c, each RESUME", lambda: lambda: fibonacci(24)),
    Case(
        "list(map(lambda))",
        "yields",
        "Python/ceval.c, each RESUME",
        lambda: lambda: list(map(lambda n: n + 1, range(100_000))),  # noqa: C417 - this is what is checked
    ),
    Case(
        "functools.reduce",
        "yields",
        "Modules/_functoolsmodule.c calls Python",
        lambda: lambda: functools.reduce(lambda a, b: a + b, range(100_000)),
    ),
    Case("random.shuffle", "yields", "Lib/random.py", lambda: lambda: random.shuffle(list(range(20_000)))),
    Case("copy.deepcopy", "yields", "Lib/copy.py", lambda: lambda: copy.deepcopy(RECORDS[:1500])),
    Case("pprint.pformat", "yields", "Lib/pprint.py", lambda: lambda: pprint.pformat(RECORDS[:100])),
    Case("pickle._dumps", "yields", "Lib/pickle.py", lambda: lambda: pickle._dumps(RECORDS[:500])),  # type: ignore[attr-defined]
    Case(
        "re.sub, a function",
        "yields",
        "Modules/_sre calls Python",
        lambda: lambda: re.sub(r"\w+", lambda _: "x", TEXT[:100_000]),
    ),
    Case(
        "sorted, cmp_to_key",
        "yields",
        "Objects/listobject.c calls Python",
        lambda: lambda: sorted(FLOATS[:5000], key=functools.cmp_to_key(compare)),
    ),
    Case(
        "countdown_python", "yields", "python/gilscope/countdown.py", lambda: lambda: gilscope.countdown_python(200_000)
    ),
]
HOGS = [
    Case("json.dumps", "hogs", "Modules/_json.c, no release", lambda: lambda: json.dumps(RECORDS)),
    Case(
        "json.loads", "hogs", "Modules/_json.c, no release", lambda: functools.partial(json.loads, json.dumps(RECORDS))
    ),
    Case("pickle.dumps", "hogs", "Modules/_pickle.c, no release", lambda: lambda: pickle.dumps(RECORDS)),
    Case(
        "pickle.loads",
        "hogs",
        "Modules/_pickle.c, no release",
        lambda: functools.partial(pickle.loads, pickle.dumps(RECORDS)),
    ),
    Case(
        "marshal.loads",
        "hogs",
        "Python/marshal.c, no release",
        lambda: functools.partial(marshal.loads, marshal.dumps(RECORDS * 2)),
    ),
    Case("sorted", "hogs", "Objects/listobject.c, no release", lambda: lambda: sorted(FLOATS)),
    Case("re.sub", "hogs", "Modules/_sre, no release", lambda: lambda: re.sub(r"\w+", "x", TEXT)),
    Case(
        "re.fullmatch, backtracking",
        "hogs",
        "Modules/_sre, no release",
        lambda: lambda: re.fullmatch("(a+)+b", "a" * 20),
    ),
    Case("base64.b64encode", "hogs", "Modules/binascii.c, no release", lambda: lambda: base64.b64encode(NOISE * 3)),
    Case("math.factorial", "hogs", "Modules/mathmodule.c, no release", lambda: lambda: math.factorial(20_000)),
    Case("pow", "hogs", "Objects/longobject.c, no release", lambda: lambda: pow(3, BIG - 2, BIG)),
    Case("sum(range)", "hogs", "Python/bltinmodule.c, no release", lambda: lambda: sum(range(500_000))),
    Case("list(range)", "hogs", "Objects/listobject.c, no release", lambda: lambda: list(range(500_000))),
    Case("str.replace", "hogs", "Objects/unicodeobject.c, no release", lambda: lambda: (TEXT * 4).replace("o", "00")),
    Case("str.split", "hogs", "Objects/unicodeobject.c, no release", lambda: (TEXT * 2).split),
    Case(
        "collections.Counter",
        "hogs",
        "Modules/_collectionsmodule.c, no release",
        lambda: lambda: collections.Counter(WORDS),
    ),
    Case(
        "deque of an iterator",
        "hogs",
        "Modules/_collectionsmodule.c, no release",
        lambda: lambda: collections.deque(itertools.repeat(None, 2_000_000), maxlen=0),
    ),
    Case("csv.reader", "hogs", "Modules/_csv.c, no release", lambda: lambda: list(csv.reader(ROWS))),
    Case("compile", "hogs", "Parser and Python/compile.c, no release", lambda: lambda: compile(SOURCE, "x", "exec")),
    Case("ast.parse", "hogs", "Parser, no release", lambda: lambda: ast.parse(SOURCE)),
    Case(
        "unicodedata.normalize",
        "hogs",
        "Modules/unicodedata.c, no release",
        lambda: lambda: unicodedata.normalize("NFD", "\u00e9\u4e2d" * 200_000),
    ),
    Case(
        "ElementTree.fromstring",
        "hogs",
        "Modules/_elementtree.c, no release",
        lambda: lambda: ET.fromstring(XML),  # noqa: S314 - our own
    ),
    Case("gc.collect", "hogs", "Modules/gcmodule.c or Python/gc.c, no release", collect),
    Case("ctypes.PyDLL", "hogs", "Modules/_ctypes/callproc.c", lambda: usleep(ctypes.PyDLL, 0.005)),
    Case("countdown_held", "hogs", "src/countdown.rs", lambda: lambda: gilscope.countdown_held(20_000_000)),
]
RELEASES.append(
    Case("countdown_released", "releases", "src/countdown.rs", lambda: lambda: gilscope.countdown_released(20_000_000))
)


def of_others() -> list[Case]:
    """Return one callable each of numpy, orjson and cryptography, if installed."""
    found = []
    if _found("numpy"):
        import numpy as np

        matrix = np.ones((400, 400))
        found.append(
            Case("numpy matmul", "releases", "numpy/_core/src/umath/matmul.c.src", lambda: lambda: matrix @ matrix)
        )
    if _found("orjson"):
        import orjson

        found.append(Case("orjson.dumps", "hogs", "orjson/src, no release", lambda: lambda: orjson.dumps(RECORDS * 3)))
    if (
        _found("cryptography") and int(version("cryptography").partition(".")[0]) >= 50
    ):  # earlier versions did not release the GIL
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

        def derive() -> bytes:
            return PBKDF2HMAC(hashes.SHA256(), 32, b"salt", 20_000).derive(b"secret")

        where = "cryptography/src/rust/src/backend/kdf.rs"
        found.append(Case("cryptography PBKDF2HMAC", "releases", where, lambda: derive))
    return found


def _found(module: str) -> bool:
    return find_spec(module) is not None


TABLE = [*RELEASES, *YIELDS, *HOGS, *of_others()]
STANDARD = [case for case in (*RELEASES, *YIELDS, *HOGS) if not case.name.startswith("countdown")]

if sys.version_info < (3, 13):  # from then on it is done by Modules/_json.c, and hogs
    YIELDS_THEN = Case(
        "json.dumps, indented", "yields", "Lib/json/encoder.py", lambda: lambda: json.dumps(RECORDS[:2000], indent=1)
    )
    TABLE.append(YIELDS_THEN)
