import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from fraud.settings import SettingsError
from serve import tracing
from serve.tracing import Tracer, open_tracer
from tests.serve.running import payment

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


def spans(status: int, traceparent: str):
    exporter = InMemorySpanExporter()
    tracer = Tracer(SimpleSpanProcessor(exporter))
    span, continued = tracer.start("POST /v1/score", traceparent)
    tracing.finish(span, status, "6f1c-4d", "checkout")
    tracer.close()
    [finished] = exporter.get_finished_spans()
    return finished, continued


def test_a_span_continues_the_trace_of_its_caller():
    span, continued = spans(200, TRACEPARENT)
    assert (span.name, span.kind) == ("POST /v1/score", SpanKind.SERVER)
    assert f"{span.context.trace_id:032x}" == TRACE and f"{span.parent.span_id:016x}" == PARENT
    assert continued == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert dict(span.attributes) == {"http.response.status_code": 200, "request.id": "6f1c-4d",
                                     "api_key.owner": "checkout"}
    assert span.resource.attributes["service.name"] == "fraud-detector"


def test_without_a_caller_a_span_starts_a_trace():
    span, continued = spans(503, "")
    assert span.parent is None and span.status.status_code is StatusCode.ERROR
    assert continued[3:35] == f"{span.context.trace_id:032x}"


def test_without_a_collector_nothing_is_imported():
    assert open_tracer({}) is None
    subprocess.run([sys.executable, "-c", "import sys, serve.app\n"
                    "assert not any(name.startswith('opentelemetry') for name in sys.modules)"],
                   check=True)


def test_a_collector_without_the_libraries_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT is 'http://c', but Open"):
        open_tracer({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"})


class Collector(ThreadingHTTPServer):
    """Keeps the requests of exporters."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Received)
        self.bodies: list[bytes] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Received(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


def test_a_collector_receives_the_spans_of_a_server(serve):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    collector = Collector()
    server = serve(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}")
    response = server.post("/v1/score", payment(), headers={"traceparent": TRACEPARENT})
    assert server.stop() == 0
    collector.shutdown()
    collector.server_close()
    request = ExportTraceServiceRequest()
    request.ParseFromString(collector.bodies[0])
    [span] = request.resource_spans[0].scope_spans[0].spans
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert response.headers["traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01"
    [line] = [json.loads(line) for line in server.decisions.read_text().splitlines()]
    assert line["traceparent"] == response.headers["traceparent"]
