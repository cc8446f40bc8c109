"""Topics as code."""

import subprocess
import sys

import pytest
from kafka import KafkaAdminClient

from fraud.brokers import connection
from stream.topics import differences, wanted
from tests.stream.running import PARTITIONS, environment


def topics(stream, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "stream.topics", *arguments], text=True,
                          env=environment(**stream.variables), capture_output=True)


def test_topics_are_made_once_and_are_what_was_asked_for(stream):
    fresh = {**stream.variables, "FRAUD_TOPIC_DECISIONS": stream.settings.stream_group}
    done = subprocess.run([sys.executable, "-m", "stream.topics", "--partitions", "4",
                           "--replication", "1"], text=True, env=environment(**fresh),
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    assert f"{stream.settings.stream_group}: created" in done.stdout
    assert done.stdout.count("exists") == 4


def test_differences_are_said_and_nothing_is_changed(stream):
    for _ in range(2):
        done = topics(stream, "--partitions", "8", "--replication", "1")
        assert done.returncode == 2
        assert f"{stream.settings.topic_decisions}: partitions is 4, not 8" in done.stderr
    with KafkaAdminClient(**connection(stream.settings)) as admin:
        assert differences(admin, wanted(stream.settings, PARTITIONS, 1)) == []


@pytest.mark.system
def test_an_unavailable_broker_is_one_line(stream):
    done = subprocess.run([sys.executable, "-m", "stream.topics"], text=True, capture_output=True,
                          env=environment(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1"))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
