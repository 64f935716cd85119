from fractions import Fraction

import pytest
from gilscope.durations import parse_duration, parse_threshold, shown


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(
            ("50ms", 0.05),
            ("0.05 s", 0.05),
            (" 200us ", 0.0002),
            ("5 us", 5e-6),
            ("5µs", 5e-6),
            ("1.5s", 1.5),
            (".5s", 0.5),
        ),
        *(("2min", 120), ("1 h", 3600), ("0ms", 0), ("2", 2), ("0.05", 0.05), ("5.", 5)),
        *(("1e-3", 0.001), ("1E+1", 10), ("1e3ms", 1), ("5e-05", 5e-5)),  # str(0.00005) is "5e-05"
        *((2, 2), (0.05, 0.05), (Fraction(1, 20), 0.05)),
    ],
)
def test_a_duration_is_a_number_with_its_unit_or_in_seconds(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "s",
            ".",
            "5 parsecs",
            "-5ms",
            "1.2.3s",
            "nan",
            "inf s",
            "\u0665ms",
            "9" * 400 + "s",
            "1e999",
            "50 MS",
            "e3",
        ),
        *(-1, -0.5, float("nan"), float("inf"), 10**400),
    ],
)
def test_anything_else_is_not_a_duration(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not a duration: write 0\.05 \(seconds\), '50ms' or '2s'$"):
        parse_duration(text)


@pytest.mark.parametrize("value", [None, True, b"50ms", ["50ms"], 1j])
def test_a_value_of_another_type_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match=r"^stall: .* is not a duration: write 0.05"):
        parse_threshold(value, name="stall")


@pytest.mark.parametrize("number", ["5", 5, 0.05])
def test_a_number_without_a_unit_is_refused_if_the_unit_is_required(number: object) -> None:
    with pytest.raises(ValueError, match=r"is not a duration: write '50ms', '0.05 s' or '200us'"):
        parse_duration(number, unit_required=True)
    assert parse_duration("5s", unit_required=True) == 5


@pytest.mark.parametrize("number", [50, "50", 50.0, " 5e1 "])
def test_a_number_that_must_be_milliseconds_is_refused_with_what_to_write(number: object) -> None:
    with pytest.raises(ValueError, match=r" without a unit is 50 seconds: write '50ms', or '50s' if you mean it$"):
        parse_threshold(number)
    assert parse_threshold("50s") == parse_duration(number) == 50


def test_a_run_of_thousands_of_seconds_has_a_unit() -> None:
    with pytest.raises(ValueError, match=r"^--timeout: 60000 without a unit is 60000 seconds: write '60000ms', or"):
        parse_duration(60000, name="--timeout")
    assert parse_duration("60000s") == 60000


def test_the_shortest_duration_is_named() -> None:
    with pytest.raises(ValueError, match=r"^limit: '0.1ms' is too short: the shortest is 1ms$"):
        parse_threshold("0.1ms", name="limit", least=0.001)
    assert parse_threshold("1ms", least=0.001) == 0.001


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 5e-6, 0.0001, 0.05, 0.5, 1.0, 60.0])
def test_what_is_shown_as_a_default_is_read_back(seconds: float) -> None:
    assert parse_duration(shown(seconds)) == pytest.approx(seconds)
    assert "e-" not in shown(seconds)
