"""Servers of a linear bundle: of a test's own, or shared by tests that leave no trace."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fraud.training.registry import bundle_writer
from fraud.training.registry.lineage import Lineage
from tests.conftest import linear_candidate
from tests.serve.running import HASH, Server


@pytest.fixture
def serve(tmp_path, make_bundle):
    """Starts servers of a linear bundle, and stops them after the test."""
    make_bundle(tmp_path / "bundle")
    yield from _servers(tmp_path, tmp_path / "bundle")


@pytest.fixture
def server(serve) -> Server:
    """A server whose history, counters and logs hold what the test has sent, and nothing else."""
    return serve()


@pytest.fixture(scope="session")
def serve_once(tmp_path_factory):
    """Starts servers that tests share."""
    files, directory = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("servers")
    bundle_writer.write(linear_candidate(files), Lineage(
        "d" * 64, "c" * 40, "TrainFlow/7", version="1"), directory / "bundle")
    yield from _servers(directory, directory / "bundle")


@pytest.fixture(scope="session")
def shared_server(serve_once) -> Server:
    """A server for tests that look at answers alone, and name their payments as no other does."""
    return serve_once()


@pytest.fixture(scope="session")
def shared_locked_server(serve_once) -> Server:
    """The same, with a key and the clock of the payments."""
    return serve_once(FRAUD_API_KEYS=f"{'0' * 64}, {HASH}", FRAUD_CLOCK="event")


def _servers(directory: Path, bundle: Path) -> Iterator[Callable[..., Server]]:
    servers = []

    def serve(*arguments: str, **settings: str) -> Server:
        own = directory / f"server-{len(servers)}"
        own.mkdir()
        servers.append(Server(own, *arguments, **{"FRAUD_MODEL": str(bundle), **settings}))
        return servers[-1]

    yield serve
    for server in servers:
        server.process.kill()
        server.process.wait()
