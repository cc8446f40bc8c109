"""Score a stream of payments: each message of the topic transactions gets exactly one outcome.

    python -m stream.scorer                             with the champion in FRAUD_MODEL
    python -m stream.scorer --api http://localhost:8000 through a deployed API
    python -m stream.scorer --demo                      with history in memory, lost at the end

Environment variables: KAFKA_BOOTSTRAP_SERVERS (default localhost:9092), FRAUD_HISTORY, FRAUD_MODEL
(default models). docs/reference.md lists all of them. Start up to as many scorers as the topic has
partitions; they share them.
"""

from __future__ import annotations

import os
from contextlib import closing

from fraud.command_line import Arguments, command, parser
from fraud.settings import SettingsError
from stream.api import Api
from stream.program import running
from stream.scoring import InProcess, Scoring
from stream.settings import StreamSettings, read_stream_settings
from stream.worker import Worker


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m stream.scorer", __doc__)
    backend = options.add_mutually_exclusive_group()
    backend.add_argument("--api", metavar="URL", help="score through the API at this address")
    backend.add_argument("--demo", action="store_true", help="allow history in memory")
    chosen = options.parse_args(arguments)
    settings = read_stream_settings(os.environ)
    run(settings, open_backend(settings, chosen.api, chosen.demo))


def open_backend(settings: StreamSettings, api: str | None, demo: bool) -> Scoring:
    """Open the scoring backend.

    Raises:
        BundleError: there is no model that may be served.
        SettingsError: a setting cannot be used.
    """
    if api:
        return Api(api, settings)
    if settings.history.startswith("memory://") and not demo:
        raise SettingsError(f"FRAUD_HISTORY is {settings.history!r}, which a crash empties and "
                            "scorers do not share; use redis://..., or --demo")
    return InProcess(settings)


def run(settings: StreamSettings, backend: Scoring) -> None:
    """Score until SIGTERM or SIGINT; the current batch is finished then."""
    activity = f"scoring {settings.topic_transactions} on {settings.brokers}"
    with running(settings, activity) as stop, closing(backend):
        Worker(settings, backend).run(stop)


if __name__ == "__main__":
    main()
