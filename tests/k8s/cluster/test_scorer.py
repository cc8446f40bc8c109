"""The component scorer on two nodes, with a broker in the cluster."""

import threading

import pytest

from tests.k8s.cluster.cluster import HERE, eventually
from tests.k8s.cluster.release import REDIS_PASSWORD, Release
from tests.stream.proof import exactly_once
from tests.stream.running import Stream, payments

pytestmark = [pytest.mark.system, pytest.mark.cluster, pytest.mark.acceptance]
SCORER = "deployment/fraud-scorer"
TAKEN = ("FRAUD_STREAM_GROUP", "FRAUD_TOPIC_TRANSACTIONS", "FRAUD_TOPIC_DECISIONS",
         "FRAUD_TOPIC_DECISION_LOG", "FRAUD_TOPIC_DEAD_LETTERS", "FRAUD_TOPIC_LABELS",
         "FRAUD_SESSION_MS", "FRAUD_CLOCK")


class Sender(threading.Thread):
    """Sends payments to a stream, in steps, until it is stopped."""

    STEP = 50

    def __init__(self, stream: Stream):
        super().__init__(daemon=True)
        self.sent: list[dict] = []
        self._stream, self._is_stopped = stream, threading.Event()

    def run(self) -> None:
        while not self._is_stopped.wait(0.5):
            items = payments(self.STEP, start=len(self.sent))
            self._stream.send(items)
            self.sent += items

    def stop(self) -> list[dict]:
        self._is_stopped.set()
        self.join()
        return self.sent


@pytest.fixture(scope="module")
def release(cluster, tmp_path_factory):
    cluster.load("fraud-cluster/kafka")
    cluster.kubectl("apply", "-f", HERE / "kafka.yaml")
    cluster.add_volumes(1)
    cluster.wait_for_rollout("deployment/kafka", namespace="kafka")
    yield Release(cluster, tmp_path_factory.mktemp("overlay"), components=("scorer",))
    cluster.kubectl("delete", "namespace", "fraud", "kafka", "--timeout=3m")


@pytest.fixture
def stream(cluster, release, tmp_path):
    """Topics for the scorers of the cluster, which are ready to take payments from them."""
    [kafka] = cluster.pods("kafka", "kafka")
    stream = Stream(
        f"{kafka['status']['podIP']}:9092", tmp_path,
        FRAUD_HISTORY=f"redis://:{REDIS_PASSWORD}@{cluster.address('fraud-redis')}:6379/0")
    release.settings["fraud-scorer-settings"] = {name: stream.variables[name] for name in TAKEN}
    release.apply()
    cluster.wait_for_rollout(SCORER)
    yield stream
    stream.close()


def test_a_rollout_and_a_kill_lose_no_message_and_score_none_twice(
        cluster, stream, record_property):
    sender = Sender(stream)
    sender.start()
    eventually(lambda: len(sender.sent) >= 5 * Sender.STEP)
    cluster.kubectl("-n", "fraud", "rollout", "restart", SCORER)
    cluster.wait_for_rollout(SCORER)
    pod = cluster.pods("fraud-scorer")[0]
    node = pod["spec"]["nodeName"]
    [container] = [name for name in cluster.names(node, "container.name", "scorer")
                   if name in pod["status"]["containerStatuses"][0]["containerID"]]
    cluster.containers(node, "tasks", "kill", "--signal", "SIGKILL", container)
    eventually(lambda: sum(status["restartCount"] for pod in cluster.pods("fraud-scorer")
                           for status in pod["status"]["containerStatuses"]) == 1)
    cluster.wait_for_rollout(SCORER)
    sent = sender.stop()
    record_property("messages", len(sent))
    exactly_once(stream, sent)
