"""Draw where the API's time goes, as docs/flame.svg: open it in a browser, and click.

    make tools; python -m bench.flame

The server of `bench.serving`, its champion with history in memory, is sampled by py-spy under the
load of eight connections. The wider a frame, the more samples were in it or in what it called.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from bench.serving import load, server, settings, write_bodies
from stream.broker import free_port

PY_SPY = Path(".venv-tools/bin/py-spy")
RATE = 250          # samples a second


def draw(model: str, seconds: int, picture: Path) -> float:
    """Sample the server under load and write the picture; return the payments scored a second.

    Raises:
        RuntimeError: the server is not ready, a request failed, or the server cannot be sampled.
    """
    with tempfile.TemporaryDirectory() as name:
        directory, port = Path(name), str(free_port())
        write_bodies(model, directory)
        with server([sys.executable, "-m", "serve", "--port", port],
                    f"http://127.0.0.1:{port}/readyz", **settings(model, directory)):
            [served] = [child for child in psutil.Process().children()
                        if port in child.cmdline()]
            sampler = subprocess.Popen(
                [PY_SPY, "record", "--pid", str(served.pid), "--rate", str(RATE), "--duration",
                 str(seconds), "--output", picture], stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True)
            speed = load(f"http://127.0.0.1:{port}/v1/score", directory / "score", seconds)["speed"]
            _, errors = sampler.communicate()
    if sampler.returncode:
        raise RuntimeError(f"py-spy failed: {errors}")
    return speed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.flame", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models", metavar="PATH",
                        help="as FRAUD_MODEL names it (default %(default)s)")
    parser.add_argument("--seconds", type=int, default=20, help="of load (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("docs/flame.svg"),
                        help="(default %(default)s)")
    options = parser.parse_args()
    if not PY_SPY.exists() or not shutil.which("wrk"):
        sys.exit("error: py-spy or wrk is missing; install them: make tools; apt-get install wrk")
    print(f"{draw(options.model, options.seconds, options.out):,.0f} payments scored a second "
          f"under the sampler; the picture is {options.out}")


if __name__ == "__main__":
    main()
