"""Calls by code that is compiled at run time, with unusual names, sizes and line tables."""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="assignment, attr-defined, override, var-annotated"
# The functions only make frames: their code is unusual on purpose.

import types

NAMES = ["é", "变量", "𐐀_", "ñandú", "Ж"]
FILES = ["<string>", "/srv/été.py", "/srv/中文.py", "/srv/𝒳.py", "/srv/\udc80raw.py", "a" * 300]


class _Text(str):
    __slots__ = ()


def executed(call, rng):
    source = "\n" * rng.randrange(300) + "def f(x):\n  return (1,\n   x())\nf(call)\n"
    _run(source, {"call": call}, rng.choice(FILES))


def evaluated(call, _):
    return eval("(lambda: call())()", {"call": call})


def many_lines(call, rng):
    lines = [f" a{i}=({i},\n\n  a{i - 1} if {i}>1 else 2)\n" for i in range(1, rng.randrange(2, 900))]
    return _function("def f(x):\n" + "".join(lines) + " return x(  \n )\n")(call)


def long_line(call, rng):
    spaces, lines = " " * rng.choice([10, 100, 300, 70000]), "\n" * rng.choice([1, 5, 5000])
    return _function(f"def f(x):\n return ({spaces}x(),\n{lines}x)\n")(call)


def many_variables(call, _):
    arguments = ",".join(f"a{i}=0" for i in range(300))
    assignments = ";".join(f"b{i}=a{i}" for i in range(300))
    return _function(f"def f(x,{arguments}):\n {assignments}\n return x()\n")(call)


def method_in_other_script(call, rng):
    name = rng.choice(NAMES)
    names = _run(f"class {name}:\n  def {name}(self, x): return x()\nf = {name}().{name}\n", {})
    return names["f"](call)


def names_of_a_str_subclass(call, rng):
    file, name = rng.choice(["plain", "lé", "中", "𝒳"]), rng.choice(["q", "qé", "q中", "𝒳"])
    first_line = rng.choice([1, 5, 100_000, 2_000_000])
    return _changed(co_filename=_Text(file), co_qualname=_Text(name), co_firstlineno=first_line)(call)


def no_line(call, _):
    def calling(x):
        return x()

    # Exactly as long as the code: each entry says of one instruction that it has no line.
    table = b"\xf8" * (len(calling.__code__.co_code) // 2)
    return types.FunctionType(calling.__code__.replace(co_linetable=table), {})(call)


def first_line_zero(call, _):
    return _changed(co_firstlineno=0)(call)


def _changed(**changes):
    def calling(x):
        return x()

    return types.FunctionType(calling.__code__.replace(**changes), {})


def _function(source):
    return _run(source, {})["f"]


def _run(source, names, file="<compiled>"):
    exec(compile(source, file, "exec"), names)
    return names
