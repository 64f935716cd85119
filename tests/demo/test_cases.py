import gilscope
import pytest
from gilscope.demo.cases import CASES, KERNELS, matching
from gilscope.trial.strategies import STRATEGIES


def test_every_case_names_a_strategy_a_kernel_and_a_public_function() -> None:
    for case in CASES:
        assert case.strategy in STRATEGIES
        assert case.kernel in KERNELS
        assert callable(getattr(gilscope, case.function))


def test_no_two_cases_have_one_name() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))


def test_globs_choose_in_the_tables_order() -> None:
    assert [case.name for case in matching(["thread/held", "inline/*"])] == [
        "inline/python",
        "inline/held",
        "inline/released",
        "thread/held",
    ]
    assert matching([]) == list(CASES)


def test_a_glob_that_matches_nothing_is_refused_with_the_names_of_the_cases() -> None:
    with pytest.raises(ValueError, match=r"no case matches 'threads/\*'; the cases are: inline/python, "):
        matching(["thread/*", "threads/*"])
