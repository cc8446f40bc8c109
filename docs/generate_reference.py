"""Write the tables of settings and metrics in docs/reference.md from the code.

    python docs/generate_reference.py

A table stands between `<!-- NAME -->` and `<!-- end -->`; the text around the tables is written by
hand.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":          # a script sees only its own folder
    sys.path[0] = str(ROOT)

import msgspec  # noqa: E402
from prometheus_client.metrics import MetricWrapperBase  # noqa: E402

import desk.metrics  # noqa: E402
import fraud.metrics  # noqa: E402
import serve.metrics  # noqa: E402
import stream.metrics  # noqa: E402
import stream.webhook_metrics  # noqa: E402
from desk.settings import DeskSettings  # noqa: E402
from fraud.brokers import BrokerSettings  # noqa: E402
from fraud.settings import Settings  # noqa: E402
from serve.settings import ServeSettings  # noqa: E402
from stream.settings import StreamSettings, WebhookSettings  # noqa: E402

PAGE = ROOT / "docs/reference.md"
REPORT_METRICS = ROOT / "monitoring/exposition.py"
DRAWN_AT_START = {"stream_instance"}       # a random default, different in each process


def tables() -> dict[str, str]:
    """Return each table of the page as Markdown, by its name."""
    return {
        "settings of scoring": _settings(Settings, msgspec.Struct),
        "settings of the API": _settings(ServeSettings, Settings),
        "settings of Kafka": _settings(BrokerSettings, Settings),
        "settings of the stream": _settings(StreamSettings, BrokerSettings),
        "settings of the webhook": _settings(WebhookSettings, Settings),
        "settings of the desk": _settings(DeskSettings, BrokerSettings),
        "metrics of scoring": _metrics(fraud.metrics.ALL),
        "metrics of the API": _metrics(
            metric for metric in serve.metrics.ALL if metric not in fraud.metrics.ALL),
        "metrics of the stream": _metrics(_in_module(stream.metrics)),
        "metrics of the webhook": _metrics(_in_module(stream.webhook_metrics)),
        "metrics of the desk": _metrics(_in_module(desk.metrics)),
        "metrics of reports": _table(("metric", "labels", "meaning"), _report_metrics()),
    }


def page(text: str) -> str:
    """Return the page's text with its tables as the code has them now.

    Raises:
        KeyError: the text names a table that the code does not have.
    """
    known = tables()
    return re.sub(r"<!-- (.+?) -->\n.*?<!-- end -->",
                  lambda match: f"<!-- {match[1]} -->\n{known[match[1]]}<!-- end -->",
                  text, flags=re.DOTALL)


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    return "".join(f"| {' | '.join(cells)} |\n".replace("|  |", "| |") for cells in lines)


def _settings(kind: type[msgspec.Struct], base: type[msgspec.Struct]) -> str:
    """Return the table of the settings that a type adds to its base."""
    inherited = getattr(base, "__struct_fields__", ())
    properties = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
    return _table(("variable", "default", "meaning"), (
        (f"`FRAUD_{name.upper()}`", _default(kind, name), properties[name]["description"])
        for name in kind.__struct_fields__ if name not in inherited))


def _default(kind: type[msgspec.Struct], name: str) -> str:
    value = "" if name in DRAWN_AT_START else getattr(kind(), name)
    if value in ("", None):
        return ""
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _metrics(metrics: Iterable[MetricWrapperBase]) -> str:
    return _table(("metric", "labels", "meaning"), (
        (f"`{_exposed_name(metric)}`", ", ".join(metric._labelnames), metric._documentation)
        for metric in metrics))


def _in_module(module: ModuleType) -> Iterator[MetricWrapperBase]:
    return (metric for metric in vars(module).values() if isinstance(metric, MetricWrapperBase))


def _exposed_name(metric: MetricWrapperBase) -> str:
    return metric._name + ("_total" if metric._type == "counter" else "")


def _report_metrics() -> Iterator[tuple[str, str, str]]:
    """Give name, labels and meaning of each `gauge(registry, name, meaning, values, labels)`."""
    for node in ast.walk(ast.parse(REPORT_METRICS.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "gauge":
            name, meaning = (ast.literal_eval(argument) for argument in node.args[1:3])
            labels = ast.literal_eval(node.args[4]) if len(node.args) > 4 else ()
            yield f"`{name}`", ", ".join(labels), meaning


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
