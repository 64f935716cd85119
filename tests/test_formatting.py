import pytest
from gilscope.formatting import counted, duration, roughly, size


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
