"""Scoring through the API: a real server, which may be unavailable."""

import subprocess

import msgspec
import pytest

from fraud.caller import UNKNOWN
from fraud.transaction import parse
from stream.api import Api
from stream.messages import Poison
from stream.scoring import ScoringUnavailable
from stream.settings import StreamSettings
from tests.serve.running import HASH, KEY, Server
from tests.stream.running import environment, eventually, headers, payment, payments, source


@pytest.fixture
def serve(tmp_path, make_bundle):
    """Starts an API; and the variables it was started with."""
    servers = []
    make_bundle(tmp_path / "bundle")

    def serve(**settings: str) -> Server:
        settings = {"FRAUD_MODEL": str(tmp_path / "bundle"), "FRAUD_CLOCK": "event", **settings}
        servers.append(Server(tmp_path, **settings))
        return servers[-1]

    yield serve
    for server in servers:
        server.process.kill()
        server.process.wait()


def scored(url: str, items: list[dict], **settings):
    api = Api(url, StreamSettings(**settings))
    try:
        return api.score([parse(msgspec.json.encode(item)) for item in items],
                         [UNKNOWN] * len(items))
    finally:
        api.close()


def test_it_scores_as_the_api_does(serve):
    server = serve(FRAUD_API_KEYS=HASH)
    [answer, reused] = scored(server.url, [payment("t-1"), payment("t-1", amount=1)],
                              stream_api_key=KEY)
    assert not answer.known
    stored = server.get("/v1/decisions/t-1", headers={"Authorization": f"Bearer {KEY}"})
    assert stored.content == answer.body
    assert isinstance(reused, Poison) and reused.reason == "id-reused"
    assert "t-1" in reused.detail


@pytest.mark.parametrize("settings", [{}, {"stream_api_key": "wrong"}])
def test_an_api_that_refuses_the_key_is_no_answer(serve, settings):
    with pytest.raises(ScoringUnavailable, match="401"):
        scored(serve(FRAUD_API_KEYS=HASH).url, [payment()], **settings)


def test_an_api_without_its_store_is_no_answer(serve):
    server = serve(FRAUD_HISTORY="redis://127.0.0.1:1/0")
    with pytest.raises(ScoringUnavailable, match="without history"):
        scored(server.url, [payment()])


@pytest.mark.system
def test_an_unavailable_api_postpones_scoring(stream, serve, redis_url):
    server = serve(FRAUD_HISTORY=redis_url)
    scorer = stream.scorer("--api", server.url, FRAUD_STREAM_BATCH="50",
                           FRAUD_TOPIC_DECISION_LOG="")
    sent = payments(2_000)
    stream.send(sent[:1_000])
    stream.decisions(100)
    server.process.kill()
    server.process.wait()
    stream.send([*sent[1_000:], payment("t-0", amount=3)])
    eventually(lambda: scorer.said("the API is unavailable"))
    server.process = subprocess.Popen(
        server.process.args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=environment(FRAUD_MODEL=stream.variables["FRAUD_MODEL"], FRAUD_CLOCK="event",
                        FRAUD_HISTORY=redis_url))
    records = stream.decisions(2_000)
    assert len(records) == len({source(record) for record in records}) == 2_000
    [dead] = stream.dead_letters(1)
    assert headers(dead)["reason"] == "id-reused"
    assert scorer.stop() == 0
