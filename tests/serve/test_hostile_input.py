"""Malformed and hostile requests: the API answers without a 5xx, and goes on."""

import gzip
import json
import math
import socket
import subprocess

import psutil
import pytest
import requests
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.serve.running import HASH, KEY, Server, payment
from tests.tools import program

HEADERS = {"Authorization": f"Bearer {KEY}"}
MIB = 2 ** 20

# Values where a payment has others, texts that are no JSON, and JSON that hardly is.
numbers = st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1e308, 10 ** 400, 2 ** 63, -1,
                           0.001, -0.0]) | st.floats() | st.integers()
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8)
payments = st.builds(lambda changes: payment() | changes, st.dictionaries(
    st.sampled_from([*payment(), "is_fraud", ""]), values, max_size=3))
TEXTS = [b"", b"null", b"[]", b"{}", b'"', b"\xff\xfe\x00", b"\xef\xbb\xbf{}", b'{"a": "\xff"}',
         b"[" * 100_000, b'{"a":' * 50_000, b"[" * 90_000 + b"]" * 90_000, b"\\ud800", b"1" * 5_000,
         json.dumps(payment()).encode() * 2, gzip.compress(b"0" * 10 ** 8),
         json.dumps(payment())[:-1].encode() + b', "amount": 1, "amount": 2}',
         json.dumps(payment()).replace("t-1", "\\u0000").encode(),
         json.dumps(payment()).replace("9.0", "1e999").encode()]


def as_json(value) -> bytes:
    """Also what is no JSON by its standard: NaN, Infinity, lone surrogates."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


bodies = (st.sampled_from(TEXTS) | st.binary(max_size=200) | payments.map(as_json)
          | st.lists(payments | values, max_size=3).map(as_json) | values.map(as_json))
media_types = st.sampled_from(["application/json", "application/x-ndjson", "text/plain", "", "ü"])


@pytest.fixture
def locked(serve) -> Server:
    """A server that asks for a key."""
    return serve(FRAUD_API_KEYS=HASH, FRAUD_CLOCK="event", FRAUD_LOG_LEVEL="error")


@pytest.mark.acceptance
def test_no_body_makes_it_fail_hang_or_grow(locked, acceptance, record_property):
    process, number = psutil.Process(locked.process.pid), 100_000 if acceptance else 300
    session, sizes = requests.Session(), []
    record_property("bodies", number)

    @settings(max_examples=number, deadline=None, database=None,
              suppress_health_check=list(HealthCheck))
    @given(body=bodies, media_type=media_types,
           path=st.sampled_from(["/v1/score", "/v1/score/batch"]))
    def send(body, media_type, path):
        answer = session.post(locked.url + path, body, timeout=10, headers=HEADERS | {
            "Content-Type": media_type.encode()})
        assert answer.status_code < 500, (body[:200], answer.text)
        assert answer.status_code == 200 or answer.json()["detail"]
        sizes.append(process.memory_info().rss)

    send()
    assert locked.post("/v1/score", payment("good"), headers=HEADERS).status_code == 200
    warm = len(sizes) // 2          # until then it fills its caches
    record_property("MiB more at the end than half-way", (sizes[-1] - sizes[warm]) // MIB)
    assert sizes[-1] - sizes[warm] < 32 * MIB


@pytest.mark.parametrize("chunked", [False, True])
def test_ten_megabytes_are_refused(shared_locked_server, chunked):
    server = shared_locked_server
    body = b'{"a": "' + b"x" * 10_000_000 + b'"}'
    try:
        answer = server.session.post(server.url + "/v1/score", timeout=10, headers=HEADERS,
                                     data=iter([body[:5_000_000], body[5_000_000:]])
                                     if chunked else body)
        assert answer.status_code == 413
    except requests.ConnectionError:
        pass            # it was refused before all of it was sent
    assert server.post("/v1/score", payment("good"), headers=HEADERS).status_code == 200


@pytest.mark.parametrize("raw", [
    b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n",
    b"POST /v1/score HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    b"POST /v1/score HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /v1/score HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
    b"GET /%ff%00/../.. HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_what_is_hardly_http_gets_no_5xx(shared_locked_server, raw):
    server = shared_locked_server
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(4_096)
        except ConnectionError:
            answer = b""        # it hung up
    assert not answer or answer.split(b" ")[1][:1] == b"4", answer
    assert server.post("/v1/score", payment("good"), headers=HEADERS).status_code == 200


@pytest.mark.system
@pytest.mark.parametrize("options", [
    # JSON Schema has 1.0 for an integer; the API has not.
    ["--exclude-path", "/v1/score/batch", "--exclude-checks", "positive_data_acceptance"],
    # A batch is answered with 200, and an answer or a problem for each of its payments.
    ["--include-path", "/v1/score/batch", "--exclude-checks", "negative_data_rejection"]])
def test_it_does_what_its_openapi_document_says(locked, tmp_path, options):
    done = subprocess.run(
        [program("schemathesis"), "run", locked.url + "/docs/openapi.json", "--checks", "all",
         "--max-examples", "100", "--header", f"Authorization: Bearer {KEY}",
         "--generation-database", "none", *options], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
