"""The jars of the broker: downloaded once, checked, kept."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stream import broker
from stream.broker import Broker, BrokerError, jars


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A repository with one jar, which is all that is asked for."""
    (tmp_path / "repository/org").mkdir(parents=True)
    (tmp_path / "repository/org/a.jar").write_bytes(b"jar")
    (tmp_path / "jars.txt").write_text(f"# one\n{'0' * 64}  org/a.jar\n")
    monkeypatch.setattr(broker, "JARS", tmp_path / "jars.txt")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(
        SimpleHTTPRequestHandler, directory=str(tmp_path / "repository")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"MAVEN_REPOSITORY": f"http://127.0.0.1:{server.server_port}/",
           "FRAUD_CACHE": str(tmp_path / "cache")}
    server.shutdown()
    server.server_close()


def test_a_jar_that_is_another_one_is_refused_and_not_kept(mirror, tmp_path):
    with pytest.raises(BrokerError, match=r"org/a\.jar: sha256 is .*, not 000"):
        jars(mirror)
    assert not list((tmp_path / "cache").rglob("*.jar"))


def test_a_jar_that_is_right_is_downloaded_once(mirror, tmp_path):
    digest = broker.sha256(b"jar").hexdigest()
    broker.JARS.write_text(f"{digest}  org/a.jar\n")
    [jar] = jars(mirror)
    assert jar.read_bytes() == b"jar"
    (tmp_path / "repository/org/a.jar").unlink()
    assert jars(mirror) == [jar]


def test_a_repository_without_the_jar_is_named(mirror, tmp_path):
    (tmp_path / "repository/org/a.jar").unlink()
    with pytest.raises(BrokerError, match=r"org/a\.jar: cannot be downloaded .*MAVEN_REPOSITORY"):
        jars(mirror)


def test_without_java_the_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(BrokerError, match="apt-get install default-jre-headless"):
        Broker(tmp_path)
