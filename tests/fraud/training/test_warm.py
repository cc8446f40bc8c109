import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud.clock import DAY_MS, HOUR_MS as HOUR
from fraud.history import Claim
from fraud.pseudonym import pseudonym, with_pseudonyms
from fraud.settings import Settings
from fraud.stores import open_store
from fraud.training import warm
from fraud.training.data import clean
from fraud.training.data.dataset import prepare
from fraud.transaction import Transaction
from fraud.windows import WINDOWS
from tests.tools import run_main

NOON = 480_012 * HOUR           # 2024-10-04T12:00:00Z


KEY = b"key"


@pytest.fixture(autouse=True)
def account_key(monkeypatch):
    monkeypatch.setenv("FRAUD_ACCOUNT_KEY", KEY.decode())


def saved(directory, rows: int = 200, minutes: int = 15 * 24) -> str:
    """A file of payments, one every six hours, the last one at noon; a tenth are frauds.

    Labels become known a day later.
    """
    times = [NOON - position * minutes * 60_000 for position in range(rows)][::-1]
    pq.write_table(pa.Table.from_pylist([{
        "transaction_id": f"t{position}", "event_time": time, "type": "TRANSFER",
        "amount": position + 0.25, "origin": f"C{position % 3}", "destination": f"C{position % 4}",
        "origin_balance": 0.0, "destination_balance": 0.0, "is_fraud": int(position % 10 == 0),
        "label_time": time + DAY_MS}
        for position, time in enumerate(times)]), directory / "payments.parquet")
    return str(directory / "payments.parquet")


def later(position: int, time: int) -> Transaction:
    return with_pseudonyms(KEY, Transaction(
        f"u{position}", NOON + time, "TRANSFER", 100, f"C{position % 3}", f"C{position % 5}", 0, 0))


LATER = [later(position, position * 50 * 60_000) for position in range(60)]


def claims(store, payments: list[Transaction]) -> list[Claim]:
    return [claim for payment in payments
            for claim in store.claim([payment], payment.event_time)]


@pytest.fixture
def store_url(request, tmp_path, history_url):
    return history_url if history_url != "memory://" else f"memory://{tmp_path}/history"


def test_a_warm_store_goes_on_as_if_it_had_seen_all(tmp_path, capsys, opened, store_url):
    source = saved(tmp_path)
    result = run_main(capsys, warm.main, "--transactions", source, "--store", store_url)
    assert (result.code, result.out) == (0, (
        "119 payments of 4 accounts, from 2024-09-05 00:00:00 UTC to 2024-10-04 "
        "12:00:00 UTC, are in the store\n"))
    whole = open_store(Settings())
    prepared = prepare(source, tmp_path / "clean")
    for batch in clean.batches(prepared.transactions, 1000):
        whole.claim([with_pseudonyms(KEY, each) for each in batch], 0)
    whole.label([fraud._replace(origin=pseudonym(KEY, fraud.origin),
                                destination=pseudonym(KEY, fraud.destination))
                 for fraud in clean.known_frauds(prepared.transactions, 0, prepared.last_time)])
    expected, warmed = claims(whole, LATER), claims(opened(store_url), LATER)
    assert [claim.counts for claim in warmed] == [claim.counts for claim in expected]
    assert all(claim.known_windows(payment.event_time) == len(WINDOWS)
               for claim, payment in zip(warmed, LATER, strict=True))
    assert warmed[0].recording_since == NOON // DAY_MS * DAY_MS - 29 * DAY_MS
    assert warmed[0].origin.frauds_sent_month > 0
    assert sum(warmed[0].counts) > 0


def test_a_file_of_less_than_a_month_is_complete_from_its_beginning(tmp_path, opened):
    url = f"memory://{tmp_path}/history"
    warm.main(["--transactions", saved(tmp_path, rows=9), "--store", url])
    warmed = claims(opened(url), LATER)
    assert warmed[0].recording_since == NOON - 2 * DAY_MS
    windows = [claim.known_windows(payment.event_time)
               for claim, payment in zip(warmed, LATER, strict=True)]
    assert windows[0] == windows[-1] == 2


def test_after_a_gap_the_file_is_not_passed_off_as_knowledge(tmp_path, opened):
    url = f"memory://{tmp_path}/history"
    warm.main(["--transactions", saved(tmp_path), "--store", url])
    [claim] = opened(url).claim([later(1, HOUR + 1)], NOON + HOUR + 1)
    assert claim.known_windows(NOON + HOUR + 1) == 0 and sum(claim.counts) > 0


def test_a_store_that_is_in_use_is_refused(tmp_path, capsys, opened, redis_url):
    opened(redis_url).claim([later(1, 0)], NOON)
    result = run_main(capsys, warm.main, "--transactions", saved(tmp_path), "--store", redis_url)
    assert result.code == 2
    assert result.err.startswith("error: Redis has been recording already; warm an empty store")


@pytest.mark.parametrize(("path", "url", "message"), [
    ("absent.parquet", "memory:///tmp/x", "absent.parquet: no such file"),
    (None, "memory://", "--store is 'memory://': name the file"),
    (None, "memory://x", "--store is 'memory://x': name the file"),
    (None, "memory:///nowhere/at/all", "/nowhere/at/all: cannot be written (No such file"),
    (None, "file:///x", "FRAUD_HISTORY is 'file:///x'"),
    (None, "redis://127.0.0.1:1", "Redis: ")])
def test_what_cannot_be_done_is_one_line(tmp_path, capsys, path, url, message):
    result = run_main(capsys, warm.main, "--transactions", path or saved(tmp_path), "--store", url)
    assert result.code == 2
    assert result.err.startswith("error: ") and message in result.err
    assert result.err.count("\n") == 1


def test_without_a_key_no_store_is_warmed(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("FRAUD_ACCOUNT_KEY")
    result = run_main(capsys, warm.main, "--transactions", saved(tmp_path),
                      "--store", f"memory://{tmp_path}/history")
    assert result.code == 2 and "FRAUD_ACCOUNT_KEY is not set" in result.err
