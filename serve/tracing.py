"""OpenTelemetry spans of requests, where an exporter is configured; nothing elsewhere.

OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) names the collector, as
OpenTelemetry defines it. The libraries are the extra `tracing`, which the image does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fraud.settings import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanProcessor
    from opentelemetry.trace import Span

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
SERVICE = "fraud-detector"      # OTEL_SERVICE_NAME takes precedence


class Tracer:
    """Makes a span for each request.

    Args:
        processor: receives finished spans.
    """

    def __init__(self, processor: SpanProcessor):
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create({"service.name": SERVICE}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("serve")
        self._propagator = TraceContextTextMapPropagator()

    def start(self, name: str, traceparent: str) -> tuple[Span, str]:
        """Start the span of a request; returns it and its traceparent.

        Args:
            traceparent: of the caller; "" starts a trace.
        """
        from opentelemetry.trace import SpanKind, set_span_in_context

        parent = self._propagator.extract({"traceparent": traceparent})
        span = self._tracer.start_span(name, parent, SpanKind.SERVER)
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        return span, carrier["traceparent"]

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def open_tracer(environment: Mapping[str, str]) -> Tracer | None:
    """Return a tracer that exports to the collector of the environment; None without one.

    Raises:
        SettingsError: the libraries are not installed.
    """
    endpoint = next((name for name in ENDPOINTS if environment.get(name)), None)
    if endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(f"{endpoint} is {environment[endpoint]!r}, but OpenTelemetry is not "
                            f'installed ({error}); run pip install "opentelemetry-sdk" '
                            '"opentelemetry-exporter-otlp-proto-http", or unset it') from error
    return Tracer(BatchSpanProcessor(OTLPSpanExporter()))


def finish(span: Span, status: int, request_id: str, owner: str) -> None:
    """End the span of a request."""
    from opentelemetry.trace import StatusCode

    span.set_attributes({"http.response.status_code": status, "request.id": request_id,
                         "api_key.owner": owner})
    if status >= 500:
        span.set_status(StatusCode.ERROR)
    span.end()
