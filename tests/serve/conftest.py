"""A server for all tests that do not need one of their own."""

import pytest

from tests.serve.running import Server


@pytest.fixture
def serve(tmp_path, make_bundle):
    """Starts servers of a linear bundle, and stops them after the test."""
    servers = []
    make_bundle(tmp_path / "bundle")

    def serve(*arguments: str, **settings: str) -> Server:
        directory = tmp_path / f"server-{len(servers)}"
        directory.mkdir()
        servers.append(Server(directory, *arguments, **{
            "FRAUD_MODEL": str(tmp_path / "bundle"), **settings}))
        return servers[-1]

    yield serve
    for server in servers:
        server.process.kill()
        server.process.wait()


@pytest.fixture
def server(serve) -> Server:
    return serve()
