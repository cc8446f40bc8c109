"""Kaggle and Hugging Face cannot be reached in tests: a server on loopback answers as they do, as
far as their own libraries ask."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fraud.training.data import hubs
from fraud.training.errors import TrainingError

FILE = b"step,type,amount\n1,TRANSFER,181.0\n"


class Hub(BaseHTTPRequestHandler):
    """Knows one dataset, ealaxi/paysim, with one file, paysim.csv."""

    def do_HEAD(self):
        self._answer(self.path == "/datasets/ealaxi/paysim/resolve/main/paysim.csv")

    do_GET = do_HEAD

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/GetDataset"):
            self._send(b'{"currentVersionNumber": 2}', "application/json")
        else:
            self._answer(asked["fileName"] == "paysim.csv" and asked["datasetSlug"] == "paysim")

    def _answer(self, known: bool) -> None:
        if known:
            self._send(FILE, "text/csv")
        else:
            self.send_error(404)

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": len(body), "Content-Type": kind, "ETag": '"e1"',
                            "X-Repo-Commit": "c" * 40}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The address at which both libraries look."""
    import huggingface_hub.constants
    from kagglesdk import kaggle_env

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, address)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE",
                        address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("scheme", hubs.SCHEMES)
def test_a_file_of_a_dataset_is_fetched_as_it_is(hub, tmp_path, scheme):
    hubs.download(f"{scheme}ealaxi/paysim/paysim.csv", tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_bytes() == FILE


@pytest.mark.parametrize("scheme", hubs.SCHEMES)
def test_what_is_not_there_is_one_line_that_names_it(hub, tmp_path, scheme):
    with pytest.raises(TrainingError, match=f"{scheme}ealaxi/paysim/other.csv: cannot be fetched"
                       ) as caught:
        hubs.download(f"{scheme}ealaxi/paysim/other.csv", tmp_path / "mine.csv")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "mine.csv").exists()


@pytest.mark.parametrize("uri", ["kaggle://ealaxi", "hf://ealaxi/paysim", "hf://ealaxi/paysim/"])
def test_a_uri_names_owner_dataset_and_file(tmp_path, uri):
    with pytest.raises(TrainingError, match=f"{uri}: names no file; give .*://OWNER/NAME/FILE"):
        hubs.download(uri, tmp_path / "mine.csv")
