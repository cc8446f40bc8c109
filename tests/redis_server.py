"""A real Redis for tests."""

import subprocess
import time

import redis

from stream.broker import free_port


class RedisServer:
    """A redis-server for one test, which can be killed and started again with its data."""

    def __init__(self, directory, *options: str, host: str = "127.0.0.1", port: int = 0):
        self.port = port or free_port()
        self.url = f"redis://{host}:{self.port}/0"
        self._command = ["redis-server", "--bind", host, "--port", str(self.port),
                         "--dir", str(directory), "--save", "", *options]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url)
        end = time.monotonic() + 10
        while True:
            try:
                assert client.ping()
                return
            except redis.RedisError:
                assert time.monotonic() < end and self.process.poll() is None
                time.sleep(0.01)

    def kill(self):
        self.process.kill()
        self.process.wait()
