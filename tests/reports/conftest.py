import pytest
import vl_convert


@pytest.fixture(autouse=True, scope="session")
def vl_convert_is_open() -> None:
    """Open the descriptors that vl-convert keeps as long as the process lives: a test that leaves one behind fails."""
    vl_convert.vega_to_svg({"$schema": "https://vega.github.io/schema/vega/v6.json"})
    vl_convert.javascript_bundle("")
