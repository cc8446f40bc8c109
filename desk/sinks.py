"""Sinks of labels and events: a file, an API, a topic, a webhook."""

from __future__ import annotations

import csv
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec

from desk.settings import TOPIC, DeskSettings
from desk.tables import Delivery
from fraud.brokers import connection
from fraud.clock import now_ms
from fraud.errors import FraudError
from fraud.labels import Label
from fraud.webhooks import EncodedEvent, signed_headers

COLUMNS = ("transaction_id", "is_fraud", "label_time", "incident_id", "source")
SECONDS = 10.0          # for a receiver to answer
REFUSALS = range(400, 500)
NOT_REFUSALS = (401, 403, 404, 408, 429)    # of everything, not of what was sent


class DeliveryError(FraudError):
    """Entries that a receiver did not take. `is_refusal` is true if it will never take them."""

    def __init__(self, message: str, is_refusal: bool = False):
        super().__init__(message, is_refusal)
        self.is_refusal = is_refusal

    def __str__(self) -> str:
        return str(self.args[0])


class Sink(ABC):
    """A way out of the desk."""

    @abstractmethod
    def send(self, entries: Sequence[Delivery]) -> None:
        """Send entries, and return once the receiver has them.

        Raises:
            DeliveryError: it has not taken all of them.
        """

    def close(self) -> None:        # noqa: B027
        """Close connections, where some stay open."""


def sinks(settings: DeskSettings) -> dict[str, Sink]:
    """Return the sink of each kind of entry: labels and, where a webhook is set, events."""
    labels = {"label": _label_sink(settings)}
    if not settings.desk_webhook:
        return labels
    return {**labels, "event": WebhookSink(settings.desk_webhook, settings.webhook_secrets)}


def _label_sink(settings: DeskSettings) -> Sink:
    location = settings.desk_labels
    if location.startswith(TOPIC):
        return TopicSink(location.removeprefix(TOPIC), settings)
    if location.startswith(("http://", "https://")):
        return ApiSink(location, settings.desk_labels_key)
    return FileSink(Path(location))


class FileSink(Sink):
    """A CSV file of labels, as `make report` reads it."""

    def __init__(self, path: Path):
        self._path = path

    def send(self, entries: Sequence[Delivery]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "a+", encoding="utf-8", newline="") as file:
                columns = _prepare(file)
                labels = [msgspec.json.decode(entry.body) for entry in entries]
                if any(entry.attempts > 1 for entry in entries):
                    labels = _missing(file, labels)
                text = io.StringIO()
                writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
                writer.writerows(labels)
                file.write(text.getvalue())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DeliveryError(f"{self._path}: cannot be written ({error.strerror}); check the "
                                "folder of FRAUD_DESK_LABELS") from error
        except (UnicodeError, csv.Error) as error:
            raise DeliveryError(f"{self._path}: is not a CSV file of labels in UTF-8 ({error}); "
                                "name another file in FRAUD_DESK_LABELS") from error


def _prepare(file: Any) -> list[str]:
    """Remove a line that a crash cut off, write the header if there is none, return the columns.

    Raises:
        DeliveryError: the file holds something other than labels.
    """
    file.seek(0)
    content = file.read()
    if content and not content.endswith("\n"):
        file.truncate(len(content[:content.rfind("\n") + 1].encode()))
        return _prepare(file)
    if not content:
        file.write(",".join(COLUMNS) + "\n")
        return list(COLUMNS)
    columns = next(csv.reader([content.partition("\n")[0].rstrip("\r")]))
    if not {"transaction_id", "is_fraud", "label_time"} <= set(columns):
        raise DeliveryError(f"{file.name}: has the columns {', '.join(columns)}, not those of "
                            "labels; name another file in FRAUD_DESK_LABELS")
    return columns


def _missing(file: Any, labels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the labels that an earlier attempt has not written."""
    file.seek(0)
    written = {(row["transaction_id"], row["label_time"]) for row in csv.DictReader(file)}
    return [label for label in labels
            if (label["transaction_id"], str(label["label_time"])) not in written]


class ApiSink(Sink):
    """POST /v1/labels of the API."""

    def __init__(self, url: str, key: str):
        self._url, self._key = url, key

    def send(self, entries: Sequence[Delivery]) -> None:
        labels = [msgspec.Raw(entry.body.encode()) for entry in entries]
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        _post(self._url, msgspec.json.encode({"labels": labels}), headers)


class WebhookSink(Sink):
    """CloudEvents to a URL of the caller, signed as standardwebhooks.com describes."""

    def __init__(self, url: str, secrets: Sequence[bytes]):
        self._url, self._secrets = url, secrets

    def send(self, entries: Sequence[Delivery]) -> None:
        for entry in entries:
            event = EncodedEvent(msgspec.json.decode(entry.body)["id"], entry.body.encode())
            _post(self._url, event.body, signed_headers(event, self._secrets, now_ms() // 1_000))


class _NoRedirects(HTTPRedirectHandler):
    """Refuses redirects: they would send a key elsewhere, or become a GET that takes nothing."""

    def redirect_request(self, *_: object) -> None:
        return None


_opener = build_opener(_NoRedirects)


def _post(url: str, body: bytes, headers: dict[str, str]) -> None:
    request = Request(url, body, {"Content-Type": "application/json", **headers})
    try:
        with _opener.open(request, timeout=SECONDS) as response:
            response.read()
    except HTTPError as error:
        reason = error.read(300).decode(errors="replace")
        refused = error.code in REFUSALS and error.code not in NOT_REFUSALS
        raise DeliveryError(f"{url} answered {error.code}: {reason}", refused) from error
    except (URLError, OSError) as error:
        raise DeliveryError(f"{url} does not answer ({getattr(error, 'reason', error)}); check "
                            "that it runs and its address") from error


class TopicSink(Sink):
    """A Kafka topic of labels, each under its transaction_id."""

    def __init__(self, topic: str, settings: DeskSettings):
        self._topic, self._settings = topic, settings
        self._producer: Any = None

    def send(self, entries: Sequence[Delivery]) -> None:
        from kafka import KafkaProducer
        from kafka.errors import KafkaError

        try:
            if self._producer is None:
                self._producer = KafkaProducer(
                    **connection(self._settings), acks="all", allow_auto_create_topics=False,
                    max_block_ms=SECONDS * 1_000, bootstrap_timeout_ms=SECONDS * 1_000)
            sent = [self._producer.send(self._topic, entry.body.encode(), _transaction_id(entry))
                    for entry in entries]
            self._producer.flush(SECONDS)
            for future in sent:
                future.get(SECONDS)
        except KafkaError as error:
            self.close()
            raise DeliveryError(f"topic {self._topic!r} on {self._settings.brokers} does not take "
                                f"labels ({error}); check the brokers and that the topic exists"
                                ) from error

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close(0)
            self._producer = None


def _transaction_id(entry: Delivery) -> bytes:
    return msgspec.json.decode(entry.body, type=Label).transaction_id.encode()
