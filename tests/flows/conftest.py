"""One trained flow for all tests that need one."""

from pathlib import Path

import pytest

from fraud.training import simulate
from tests.flows.running import Flow, written


@pytest.fixture
def flow(tmp_path) -> Flow:
    """A directory of a test's own, with nothing in it."""
    return Flow(tmp_path)


@pytest.fixture(scope="session")
def payments(tmp_path_factory) -> Path:
    """A small simulated month as a Parquet file."""
    path = tmp_path_factory.mktemp("payments") / "payments.parquet"
    simulate.write(simulate.simulate(60_000, seed=5), path)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory, payments) -> tuple[Flow, str]:
    """A directory in which the flow ran once, and what it wrote on the screen."""
    flow = Flow(tmp_path_factory.mktemp("trained"))
    result = flow("run", "--transactions", str(payments))
    assert result.returncode == 0, written(result)
    return flow, written(result)
