"""List dead letters, and replay them into the stream: each once, unchanged or repaired.

    python -m stream.dead_letters list [--reason bad-key] [--json]
    python -m stream.dead_letters replay --reason event-time-ahead
    python -m stream.dead_letters replay --repaired FILE

FILE has lines as `list --json` writes them: {"dead_letter": "0:12", "value": {...}}, each with the
payment to send in place of the dead letter in partition 0 at offset 12.

A replayed message and the note of its replay are one Kafka transaction, and a replay aborts the
open transaction of another: no dead letter is replayed twice. Notes are messages of the dead-letter
topic without a value, with the header `replayed`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec
from kafka.errors import KafkaError

from fraud.command_line import Arguments, command, parser
from fraud.errors import JSON_ERRORS, FraudError
from fraud.topics import TopicError, read_to_end
from fraud.transaction import InvalidTransaction, parse
from stream import clients
from stream.settings import StreamSettings, read_stream_settings

REPLAYED = "replayed"
PREVIEW = 60                    # characters of a value
_encode = msgspec.json.Encoder().encode


class RepairError(FraudError):
    """An invalid file of repairs. The message names line, problem and fix."""


class Repair(msgspec.Struct, frozen=True):
    """A line of a file of repairs; other fields of the line are for people."""

    dead_letter: str            # PARTITION:OFFSET
    value: msgspec.Raw


class Letter(NamedTuple):
    """A dead letter that has not been replayed."""

    address: str                # PARTITION:OFFSET
    key: bytes | None
    value: bytes | None
    reason: str
    detail: str
    truncated: bool


def waiting(settings: StreamSettings) -> list[Letter]:
    """Return the committed dead letters that have not been replayed, in topic order.

    Raises:
        TopicError: the topic is missing or cannot be read to its end.
    """
    letters, replayed = {}, set()
    for record in read_to_end(settings.topic_dead_letters, settings):
        headers = {name: value.decode() for name, value in record.headers}
        if REPLAYED in headers:
            replayed.add(headers[REPLAYED])
        else:
            address = f"{record.partition}:{record.offset}"
            letters[address] = Letter(
                address, record.key, record.value, headers.get("reason", ""),
                headers.get("detail", ""), "truncated" in headers)
    return [letter for address, letter in letters.items() if address not in replayed]


def replay(settings: StreamSettings, reason: str | None, repairs: dict[str, bytes] | None) -> int:
    """Put dead letters back into the stream, and return their number.

    Args:
        reason: replay those with this reason, unchanged. Truncated ones are left out.
        repairs: or else replay these values, by address; each is a payment.
    """
    with closing(clients.transactional(settings, "replay")) as producer:
        producer.init_transactions()        # from here on no other replay can commit
        chosen = [letter for letter in waiting(settings) if _is_chosen(letter, reason, repairs)]
        if not chosen:
            return 0
        producer.begin_transaction()
        for letter in chosen:
            key, value = letter.key, letter.value
            if repairs is not None:
                value = repairs[letter.address]
                key = parse(value).origin.encode()
            producer.send(settings.topic_transactions, value, key)
            producer.send(settings.topic_dead_letters, key=b"", headers=[
                (REPLAYED, letter.address.encode())])
        producer.commit_transaction()
    return len(chosen)


def _is_chosen(letter: Letter, reason: str | None, repairs: dict[str, bytes] | None) -> bool:
    if repairs is not None:
        return letter.address in repairs
    return letter.reason == reason and not letter.truncated


def repairs_of(lines: Iterable[bytes]) -> dict[str, bytes]:
    """Return the payments in a file of repairs, by the address of their dead letter.

    Raises:
        RepairError: a line is not a repair, or its value not a payment.
    """
    repairs = {}
    for number, line in enumerate(lines, 1):
        try:
            repair = msgspec.json.decode(line, type=Repair)
            parse(bytes(repair.value))
        except (*JSON_ERRORS, InvalidTransaction) as error:
            raise RepairError(f"line {number}: {error}; nothing was replayed") from error
        repairs[repair.dead_letter] = bytes(repair.value)
    return repairs


def show(letters: Iterable[Letter], as_json: bool) -> None:
    """Print dead letters."""
    for letter in letters:
        text = (letter.value or b"").decode(errors="replace")
        if as_json:
            print(_encode({"dead_letter": letter.address, "value": text, "reason": letter.reason,
                           "detail": letter.detail, "truncated": letter.truncated}).decode())
        else:
            print(f"{letter.address:>8}  {letter.reason:16}  {letter.detail}\n"
                  f"{'':10}{text[:PREVIEW]}{'...' if len(text) > PREVIEW else ''}")


@command
def main(arguments: Arguments) -> None:
    options = _parser().parse_args(arguments)
    try:
        _run(options, read_stream_settings(os.environ))
    except KafkaError as error:
        raise TopicError(f"dead letters cannot be replayed: {error}; check "
                         "KAFKA_BOOTSTRAP_SERVERS") from error


def _parser() -> argparse.ArgumentParser:
    root = parser("python -m stream.dead_letters", __doc__)
    commands = root.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="show those that have not been replayed")
    listing.add_argument("--reason", help="only those with this reason")
    listing.add_argument("--json", action="store_true", help="a JSON object a line")
    choice = commands.add_parser("replay", help="replay some").add_mutually_exclusive_group(
        required=True)
    choice.add_argument("--reason", help="those with this reason, unchanged")
    choice.add_argument("--repaired", metavar="FILE", type=Path, help="those that a file repairs")
    return root


def _run(options: argparse.Namespace, settings: StreamSettings) -> None:
    if options.command == "list":
        show((letter for letter in waiting(settings)
              if options.reason in (None, letter.reason)), options.json)
        return
    repairs = _repairs(options.repaired) if options.repaired else None
    print(f"{replay(settings, options.reason, repairs)} replayed")


def _repairs(file: Path) -> dict[str, bytes]:
    try:
        return repairs_of(file.read_bytes().splitlines())
    except OSError as error:
        raise RepairError(f"{file}: cannot be read ({error.strerror}); check the path") from error


if __name__ == "__main__":
    main()
