import fcntl
import os
import re
import signal

import requests

from fraud.training.registry import publication
from serve.settings import SHARED_DIRECTORY
from serve.workers import PREFIX, DelayedSignals, shared_metrics
from tests.serve.running import Server, payment, serving_versions, wait_for


def workers(server: Server) -> list[int]:
    """Process ids of all workers that ever were ready, by age."""
    return [int(pid) for pid in re.findall(r"Worker ready \[(\d+)\]", server.log.read_text())]


def metrics(server: Server) -> str:
    return requests.get(server.url + "/metrics", timeout=9).text


def test_workers_share_history_answers_and_metrics(serve, redis_url, tmp_path, make_bundle):
    make_bundle(tmp_path / "2", version="2")
    models = tmp_path / "models"
    publication.publish(tmp_path / "bundle", "fraud-detector", str(models))
    server = serve("--workers", "2", FRAUD_HISTORY=redis_url, FRAUD_HISTORY_DEADLINE_MS="2000",
                   FRAUD_MODEL=str(models), FRAUD_MODEL_REFRESH_SECONDS="0.1")
    first = requests.post(server.url + "/v1/score", json=payment("same"), timeout=9).content
    for _ in range(20):         # a connection of its own may reach either worker
        assert requests.post(server.url + "/v1/score", json=payment("same"),
                             timeout=9).content == first
    metrics = requests.get(server.url + "/metrics", timeout=9).text
    assert "fraud_repeats_total 20.0" in metrics
    assert serving_versions(metrics) == {"1"}
    publication.publish(tmp_path / "2", "fraud-detector", str(models))
    wait_for(lambda: serving_versions(requests.get(server.url + "/metrics", timeout=9).text)
             == {"2"})
    assert server.stop() == 0


def test_a_server_stops_before_all_of_its_workers_have_started(serve, redis_url):
    server = serve("--workers", "6", FRAUD_HISTORY=redis_url)     # the first of them is ready
    assert server.stop() == 0


def test_a_killed_worker_is_replaced_and_its_gauges_go(serve, redis_url, tmp_path, make_bundle):
    make_bundle(tmp_path / "2", version="2")
    models = tmp_path / "models"
    publication.publish(tmp_path / "bundle", "fraud-detector", str(models))
    server = serve("--workers", "2", FRAUD_HISTORY=redis_url, FRAUD_MODEL=str(models),
                   FRAUD_MODEL_REFRESH_SECONDS="0.1")
    wait_for(lambda: len(workers(server)) == 2)
    for count, death in ((3, signal.SIGKILL), (4, signal.SIGINT)):      # also one that just ends
        os.kill(workers(server)[count - 3], death)
        wait_for(lambda count=count: len(workers(server)) == count)
    assert "fraud_worker_restarts_total 2.0" in metrics(server)
    publication.publish(tmp_path / "2", "fraud-detector", str(models))
    wait_for(lambda: serving_versions(metrics(server)) == {"2"})        # of the living ones alone
    for _ in range(20):
        assert requests.post(server.url + "/v1/score", json=payment(os.urandom(8).hex()),
                             timeout=9).status_code == 200
    assert server.stop() == 0


def test_a_signal_waits_for_the_end_of_an_exchange_with_the_workers():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    events = []
    try:
        signals = DelayedSignals(lambda number, frame: events.append(number))
        with signals.delayed():
            os.kill(os.getpid(), signal.SIGTERM)
            events.append("exchanged")
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert events == ["exchanged", signal.SIGTERM, signal.SIGINT]


def test_workers_end_with_their_parent_and_the_next_server_removes_its_folder(
        serve, redis_url, tmp_path):
    settings = {"FRAUD_HISTORY": redis_url, "TMPDIR": str(tmp_path)}
    first = serve("--workers", "2", **settings)
    wait_for(lambda: len(workers(first)) == 2)
    first.process.kill()
    first.process.wait()
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers(first)))
    [left] = tmp_path.glob(f"{PREFIX}*")
    second = serve("--workers", "2", **settings)
    assert not left.exists() and len([*tmp_path.glob(f"{PREFIX}*")]) == 1
    assert second.stop() == 0
    assert not [*tmp_path.glob(f"{PREFIX}*")]


def test_the_folder_of_a_running_server_is_kept(tmp_path, monkeypatch):
    monkeypatch.delenv(SHARED_DIRECTORY, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    used = tmp_path / f"{PREFIX}used"
    used.mkdir()
    descriptor = os.open(used, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with shared_metrics():
        assert used.exists() and os.path.isdir(os.environ[SHARED_DIRECTORY])
    os.close(descriptor)


def test_a_folder_that_the_environment_names_is_emptied_of_earlier_metrics(tmp_path, monkeypatch):
    monkeypatch.setenv(SHARED_DIRECTORY, str(tmp_path))
    (tmp_path / "counter_7.db").write_bytes(b"")
    with shared_metrics():
        assert not [*tmp_path.iterdir()]
    assert tmp_path.exists()
