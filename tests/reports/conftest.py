import pytest


@pytest.fixture(autouse=True)
def _drawing(vl_convert_is_open: None) -> None:
    """Every test of this folder may draw."""
