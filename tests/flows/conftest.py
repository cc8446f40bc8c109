"""A flow that has not run yet."""

import pytest

from tests.flows.running import Flow


@pytest.fixture
def flow(tmp_path) -> Flow:
    """A directory of a test's own, with nothing in it."""
    return Flow(tmp_path)
