"""Look at dead letters, and put them back into the stream: each once, as it was or repaired.

    python -m stream.dead_letters list [--reason bad-key] [--json]
    python -m stream.dead_letters replay --reason event-time-ahead
    python -m stream.dead_letters replay --repaired FILE

FILE has lines as `list --json` writes them: {"dead_letter": "0:12", "value": {...}}, each with the
payment that is to be sent in place of the dead letter in partition 0 at offset 12.

What is put back and the note that it was are one Kafka transaction, and who replays ends what
another replay has open: no dead letter is put back twice. Notes are messages of the dead-letter
topic without a value, with the header `replayed`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError

from fraud.brokers import connection
from fraud.settings import SettingsError
from fraud.transaction import InvalidTransaction, parse
from stream import clients
from stream.settings import StreamSettings, read

REPLAYED = "replayed"
PREVIEW = 60                    # characters of a value
_encode = msgspec.json.Encoder().encode


class RepairError(Exception):
    """A file of repairs that cannot be used. The message names line, problem and fix."""


class Repair(msgspec.Struct, frozen=True):
    """A line of a file of repairs; what else stands in it is for people."""

    dead_letter: str            # PARTITION:OFFSET
    value: msgspec.Raw


class Letter(NamedTuple):
    """A dead letter that has not been put back."""

    place: str                  # PARTITION:OFFSET
    key: bytes | None
    value: bytes | None
    reason: str
    detail: str
    truncated: bool


def waiting(settings: StreamSettings) -> list[Letter]:
    """The dead letters that are committed now and have not been put back, by place."""
    letters, replayed = {}, set()
    for record in _records(settings):
        headers = {name: value.decode() for name, value in record.headers}
        if REPLAYED in headers:
            replayed.add(headers[REPLAYED])
        else:
            place = f"{record.partition}:{record.offset}"
            letters[place] = Letter(place, record.key, record.value, headers.get("reason", ""),
                                    headers.get("detail", ""), "truncated" in headers)
    return [letter for place, letter in letters.items() if place not in replayed]


def _records(settings: StreamSettings) -> Iterator[ConsumerRecord]:
    topic = settings.topic_dead_letters
    with KafkaConsumer(**connection(settings), isolation_level="read_committed",
                       auto_offset_reset="earliest", enable_auto_commit=False) as reader:
        partitions = [TopicPartition(topic, number)
                      for number in reader.partitions_for_topic(topic) or ()]
        if not partitions:
            raise SettingsError(f"topic {topic!r} is missing on {settings.brokers}; make it with "
                                "python -m stream.topics")
        reader.assign(partitions)
        reader.seek_to_beginning()
        ends = reader.end_offsets(partitions)
        while any(reader.position(partition) < end for partition, end in ends.items()):
            for records in reader.poll(1_000).values():
                yield from records


def replay(settings: StreamSettings, reason: str | None, repairs: dict[str, bytes] | None) -> int:
    """Put dead letters back; how many.

    Args:
        reason: which ones, as they were. Those that were cut stay.
        repairs: or else values by place, each a payment.
    """
    with closing(clients.transactional(settings, "replay")) as producer:
        producer.init_transactions()        # from here on no other replay can commit
        chosen = [letter for letter in waiting(settings)
                  if (letter.place in repairs if repairs is not None
                      else letter.reason == reason and not letter.truncated)]
        if chosen:
            producer.begin_transaction()
            for letter in chosen:
                key, value = letter.key, letter.value
                if repairs is not None:
                    value = repairs[letter.place]
                    key = parse(value).origin.encode()
                producer.send(settings.topic_transactions, value, key)
                producer.send(settings.topic_dead_letters, key=b"", headers=[
                    (REPLAYED, letter.place.encode())])
            producer.commit_transaction()
    return len(chosen)


def repairs_of(lines: Iterable[bytes]) -> dict[str, bytes]:
    """The payments in a file of repairs, by the place of their dead letter.

    Raises:
        RepairError: a line is no repair, or its value no payment.
    """
    repairs = {}
    for number, line in enumerate(lines, 1):
        try:
            repair = msgspec.json.decode(line, type=Repair)
            parse(bytes(repair.value))
        except (msgspec.DecodeError, InvalidTransaction) as error:
            raise RepairError(f"line {number}: {error}; nothing was put back") from None
        repairs[repair.dead_letter] = bytes(repair.value)
    return repairs


def show(letters: Iterable[Letter], as_json: bool) -> None:
    """Print dead letters, a line each."""
    for letter in letters:
        text = (letter.value or b"").decode(errors="replace")
        if as_json:
            print(_encode({"dead_letter": letter.place, "value": text, "reason": letter.reason,
                           "detail": letter.detail, "truncated": letter.truncated}).decode())
        else:
            print(f"{letter.place:>8}  {letter.reason:16}  {letter.detail}\n"
                  f"{'':10}{text[:PREVIEW]}{'...' if len(text) > PREVIEW else ''}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stream.dead_letters", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="show those that have not been put back")
    listing.add_argument("--reason", help="only those with this reason")
    listing.add_argument("--json", action="store_true", help="a JSON object a line")
    which = commands.add_parser("replay", help="put some back").add_mutually_exclusive_group(
        required=True)
    which.add_argument("--reason", help="those with this reason, as they were")
    which.add_argument("--repaired", metavar="FILE", type=Path, help="those that a file repairs")
    options = parser.parse_args(arguments)
    try:
        _run(options, read(os.environ))
    except (SettingsError, RepairError, OSError) as error:
        sys.exit(f"error: {error}")
    except KafkaError as error:
        sys.exit(f"error: Kafka: {error}")


def _run(options: argparse.Namespace, settings: StreamSettings) -> None:
    if options.command == "list":
        show((letter for letter in waiting(settings)
              if options.reason in (None, letter.reason)), options.json)
        return
    repairs = options.repaired and repairs_of(options.repaired.read_bytes().splitlines())
    print(f"{replay(settings, options.reason, repairs)} put back")


if __name__ == "__main__":
    main()
