import pytest
from gilscope.formatting import counted, duration, parse_duration, roughly, size


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 s"),
        (3.4e-8, "34.0 ns"),
        (9.999e-7, "1.00 us"),
        (9.999e-6, "10.0 us"),
        (3.4e-5, "34.0 us"),
        (0.0012, "1.20 ms"),
        (0.0999, "99.9 ms"),
        (2.5, "2.50 s"),
        (120, "120 s"),
    ],
)
def test_a_duration_is_shown_in_the_unit_that_suits_it(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("50ms", 0.05),
        ("0.05 s", 0.05),
        (" 200us ", 0.0002),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("0ms", 0.0),
        ("2", 2.0),
        (2, 2.0),
        (0.05, 0.05),
    ],
)
def test_a_duration_is_a_number_with_its_unit_or_in_seconds(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        *(None, True, "", "s", ".", "5 parsecs", "-5ms", "1.2.3s", "1e3s", "nan", "inf s", "\u0665ms", "9" * 400 + "s"),
        *(-1, -0.5, float("nan"), float("inf"), b"50ms", ["50ms"]),
    ],
)
def test_anything_else_is_not_a_duration(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration: write a number with its unit, such as '50ms'"):
        parse_duration(text)


@pytest.mark.parametrize("number", ["5", 5, 0.05])
def test_a_number_without_a_unit_is_refused_if_the_unit_is_required(number: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(number, unit_required=True)
    assert parse_duration("5s", unit_required=True) == 5


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (4_000_000, "4.00 MB"), (10**9, "1.00 GB")]
)
def test_a_size_is_shown_in_the_unit_that_suits_it(count: int, shown: str) -> None:
    assert size(count) == shown


def test_one_is_singular() -> None:
    assert [counted(n, "call") for n in (0, 1, 2)] == ["0 calls", "1 call", "2 calls"]


def test_thousands_stand_apart_from_ten_of_them_on() -> None:
    assert [counted(n, "call") for n in (9999, 579583)] == ["9999 calls", "579 583 calls"]


def test_a_count_that_nobody_needs_exactly_has_two_digits() -> None:
    assert [roughly(n) for n in (1.9, 87.4, 117612)] == [1, 87, 120000]
