"""Settings of the desk, in addition to those of scoring and Kafka (`fraud.brokers`)."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated

from msgspec import Meta

from fraud import brokers
from fraud.brokers import BrokerSettings
from fraud.settings import Count, Positive, SettingsError
from fraud.webhooks import read_secrets

URLS = ("https://", "http://")
TOPIC = "kafka:"        # a location that is a topic begins with it


class DeskSettings(BrokerSettings, frozen=True):
    """Every field is the environment variable `FRAUD_` with its name in capitals."""

    desk_database: Annotated[str, Meta(description=(
        "where cases are kept: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`"
        ))] = "sqlite:///data/desk.db"
    desk_decisions: Annotated[str, Meta(description=(
        "decision logs to follow, separated by commas: files, with their rotated and compressed "
        "parts, or `kafka:TOPIC`"))] = "data/decisions.jsonl,data/demo/decisions.jsonl"
    desk_labels: Annotated[str, Meta(description=(
        "where labels go: a CSV file, `kafka:TOPIC`, or the URL of an API's `/v1/labels`"
        ))] = "data/labels.csv"
    desk_labels_key: Annotated[str, Meta(description=(
        "API key with the scope `labels`, for a URL"))] = ""
    desk_webhook: Annotated[str, Meta(description=(
        "URL that is called when a reviewed payment is decided; empty: none"))] = ""
    desk_webhook_secret: Annotated[str, Meta(description=(
        "secrets of the signature of those calls, `whsec_` and at least 24 bytes in base64, "
        "separated by commas while one replaces another"
        ))] = ""
    desk_sample_share: Annotated[float, Meta(ge=0, le=1, description=(
        "share of approvals and declines that become cases, from 0 to 1"))] = 0.01
    desk_cases_per_day: Annotated[Count, Meta(description=(
        "cases that the team can decide a day, at least 1: the queue shows the load against it"
        ))] = 150
    desk_due_hours: Annotated[Positive, Meta(description=(
        "hours in which a case is to be decided, above 0"))] = 24.0
    desk_taken_minutes: Annotated[Positive, Meta(description=(
        "minutes after which a case that was taken and not decided is free again, above 0"
        ))] = 15.0
    desk_undo_seconds: Annotated[float, Meta(ge=0, le=1e6, description=(
        "seconds for which a decision can be undone; labels leave after them"))] = 60.0
    desk_four_eyes_amount: Annotated[float, Meta(ge=0, description=(
        "amount in currency units from which a second person must agree; 0: never"))] = 0.0
    desk_incident_hours: Annotated[Positive, Meta(description=(
        "hours within which cases of the same accounts are one incident, above 0"))] = 24.0
    desk_session_hours: Annotated[Positive, Meta(description=(
        "hours after which people must sign in again, above 0"))] = 12.0
    desk_proxy_address: Annotated[str, Meta(description=(
        "IP address or network (10.1.0.0/24) of the proxy that ends TLS; requests of others are "
        "then refused; empty: none"))] = ""
    desk_proxy_header: Annotated[str, Meta(description=(
        "header in which that proxy names a person who has signed in with it; empty: passwords"
        ))] = ""
    desk_tls_certificate: Annotated[str, Meta(description=(
        "a file with the certificate of the desk; empty: no TLS"))] = ""
    desk_tls_key: Annotated[str, Meta(description="a file with the key of that certificate")] = ""
    desk_links: Annotated[str, Meta(description=(
        "pages to link to, as NAME=URL, separated by commas: reports and dashboards"))] = ""

    @property
    def is_secure(self) -> bool:
        """True if browsers reach the desk over TLS only."""
        return bool(self.desk_tls_certificate or self.desk_proxy_address)

    @property
    def webhook_secrets(self) -> list[bytes]:
        """The secrets of FRAUD_DESK_WEBHOOK_SECRET; SettingsError if one cannot be used."""
        return read_secrets("FRAUD_DESK_WEBHOOK_SECRET", self.desk_webhook_secret)

    @property
    def rules_location(self) -> str:
        """The folder or s3:// prefix with `rules.json`."""
        return self.rules or self.model

    @property
    def links(self) -> list[tuple[str, str]]:
        """Names and URLs of pages to link to."""
        pairs = [part.partition("=") for part in self.desk_links.split(",") if part.strip()]
        return [(name.strip(), url.strip()) for name, _, url in pairs]


def read_desk_settings(environment: Mapping[str, str]) -> DeskSettings:
    """Return the settings.

    Raises:
        SettingsError: one cannot be used, or two do not fit together.
    """
    settings = brokers.read_broker_settings(environment, DeskSettings)
    if settings.desk_proxy_header and not settings.desk_proxy_address:
        raise SettingsError(f"FRAUD_DESK_PROXY_HEADER is {settings.desk_proxy_header!r} and "
                            "FRAUD_DESK_PROXY_ADDRESS is empty, so that anyone could be anyone; "
                            "give the IP address of the proxy")
    try:
        ip_network(settings.desk_proxy_address or "::1")
    except ValueError as error:
        raise SettingsError(f"FRAUD_DESK_PROXY_ADDRESS is {settings.desk_proxy_address!r}, which "
                            "is not an IP address or network; give that of the proxy") from error
    if bool(settings.desk_tls_certificate) != bool(settings.desk_tls_key):
        raise SettingsError("FRAUD_DESK_TLS_CERTIFICATE and FRAUD_DESK_TLS_KEY go together; "
                            "set both or neither")
    if settings.desk_webhook and settings.webhook_secrets and not settings.desk_webhook.startswith(
            URLS):
        raise SettingsError(f"FRAUD_DESK_WEBHOOK is {settings.desk_webhook!r}, which is not a URL; "
                            "give https://...")
    for name, url in settings.links:
        if not url.startswith((*URLS, "/")):
            raise SettingsError(f"FRAUD_DESK_LINKS has {name}={url!r}, which is not a URL; write "
                                "NAME=https://...")
    return settings
