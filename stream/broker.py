"""A real Kafka broker of one node (KRaft), for tests and the demo; it needs only Java 17 or newer.

    python -m stream.broker --port 9092

Its jars come from Maven Central, or the mirror that MAVEN_REPOSITORY names, are checked against
stream/jars.txt and kept in FRAUD_CACHE (default ~/.cache/fraud-detector).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from fraud.command_line import Arguments, command, parser
from fraud.errors import FraudError

MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"
JARS = Path(__file__).with_name("jars.txt")
DOWNLOADS = 8               # at the same time
START_SECONDS, STOP_SECONDS = 60, 30
HEAP = "512m"
PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
log.dirs={directory}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""


class BrokerError(FraudError):
    """A broker that cannot run. The message names the value and the fix."""


class Broker:
    """A broker process on this machine, which can be killed and started again with its data.

    Args:
        directory: receives its data, configuration and log; made if absent.
        port: on 127.0.0.1; a free one by default.

    Raises:
        BrokerError: Java or a jar is missing, or the broker does not start.
    """

    def __init__(self, directory: Path, port: int = 0):
        self.log = directory / "broker.log"
        self.address = f"127.0.0.1:{port or free_port()}"
        directory.mkdir(parents=True, exist_ok=True)
        self._properties = directory / "server.properties"
        self._properties.write_text(PROPERTIES.format(
            port=self.address.split(":")[1], controller_port=free_port(), directory=directory))
        self._java = [
            _java(os.environ), f"-Xmx{HEAP}", "-XX:+UseSerialGC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp", os.pathsep.join(map(str, jars(os.environ)))]
        if not (directory / "data").exists():
            self._format()
        self.start()

    def _format(self) -> None:
        formatted = subprocess.run(
            [*self._java, "kafka.tools.StorageTool", "format", "--config", self._properties,
             "--cluster-id", "fraud-detector-0000000"], capture_output=True, text=True)
        if formatted.returncode:
            raise BrokerError(
                f"Kafka cannot use {self._properties.parent}: {formatted.stderr.strip()}")

    def start(self) -> None:
        """Start the broker, and return when it answers."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self._java, "kafka.Kafka", self._properties], stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.kill()
                raise BrokerError(f"Kafka does not start on {self.address}: "
                                  f"{self.log.read_text()[-2_000:]}")

    def _answers(self) -> bool:
        host, port = self.address.split(":")
        try:
            socket.create_connection((host, int(port)), 1).close()
            KafkaAdminClient(bootstrap_servers=self.address, bootstrap_timeout_ms=1_000).close()
            return True
        except (OSError, KafkaError):
            time.sleep(0.1)
            return False

    def stop(self) -> None:
        """Stop the broker gracefully."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the broker."""
        self.process.kill()
        self.process.wait()


def jars(environment: Mapping[str, str]) -> list[Path]:
    """Return the jars of Kafka, downloaded unless they are in the cache.

    Raises:
        BrokerError: one cannot be downloaded, or differs from jars.txt.
    """
    cache = Path(environment.get("FRAUD_CACHE") or Path.home() / ".cache/fraud-detector")
    repository = environment.get("MAVEN_REPOSITORY") or MAVEN_CENTRAL
    lines = [line.split() for line in JARS.read_text().splitlines() if not line.startswith("#")]
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        return list(pool.map(
            lambda line: _jar(line[0], line[1], cache / "jars", repository), lines))


def _jar(digest: str, path: str, cache: Path, repository: str) -> Path:
    """Return one jar of the cache; it gets its name only once it is complete and verified."""
    jar = cache / path
    if jar.exists():
        return jar
    url = f"{repository.rstrip('/')}/{path}"
    try:
        with urlopen(url, timeout=60) as response:
            content = response.read()
    except (URLError, OSError) as error:
        raise BrokerError(f"{url}: cannot be downloaded ({error}); set MAVEN_REPOSITORY to a "
                          "mirror of Maven Central") from error
    if (actual := sha256(content).hexdigest()) != digest:
        raise BrokerError(f"{url}: sha256 is {actual}, not {digest} as in {JARS.name}; do not "
                          "use it, and ask the owner of that repository")
    jar.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=jar.parent, delete=False) as partial:
        partial.write(content)
    Path(partial.name).replace(jar)
    return jar


def _java(environment: Mapping[str, str]) -> str:
    home = environment.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else environment.get("PATH"))
    if not java:
        raise BrokerError("Java is missing, and Kafka needs 17 or newer: "
                          "apt-get install default-jre-headless")
    return java


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m stream.broker", __doc__)
    options.add_argument("--port", type=int, default=9092,
                         help="on 127.0.0.1 (default %(default)s)")
    port = options.parse_args(arguments).port
    with tempfile.TemporaryDirectory(prefix="fraud-kafka-") as directory:
        broker = Broker(Path(directory), port)
        print(f"Kafka on {broker.address} until Ctrl-C; its data is deleted then", flush=True)
        ends = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)
        signal.sigwait(ends)
        broker.stop()


if __name__ == "__main__":
    main()
