"""Leaks are planted into features and data, as careless people would, and have to be named."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud.features import DEFAULT, PaymentColumns
from fraud.training.errors import TrainingError
from fraud.training.leakage import checks, point_in_time, small_trees
from fraud.training.leakage.checks import Folders, Leakage, audit, check
from fraud.training.leakage.small_trees import Score
from fraud.training.parity.recount import recounted
from fraud.training.settings import FILE, Audit, load
from fraud.transaction import TYPES
from fraud.windows import counts_of

HOUR = 3_600_000
MINUTE = 60_000
ROWS = 20_000
SETTINGS = Audit(rows=10_000, alone_auprc=0.9, trace_auprc=0.1, allowed={})


def windowed(payments: pd.DataFrame, account: str, start, end, value=None) -> np.ndarray:
    """The number of an account's payments, or their total, from one row of them to another.

    `start` and `end` map the sorted times of an account to arrays of their indices.
    """
    result = np.zeros(len(payments))
    values = np.ones(len(payments)) if value is None else payments[value].to_numpy(np.float64)
    times = payments["event_time"].to_numpy()
    for rows in payments.groupby(account).indices.values():
        totals = np.append(0, np.cumsum(values[rows]))
        result[rows] = totals[end(times[rows])] - totals[start(times[rows])]
    return result


def first_of(length: int):
    """The index of the first time in the bucket of so many ms, or from so long before on."""
    return lambda times: np.searchsorted(times, times // length * length)


def last_of(length: int):
    return lambda times: np.searchsorted(times, times // length * length + length)


def itself(times: np.ndarray) -> np.ndarray:
    return np.arange(times.size)


def a_day_before(times: np.ndarray) -> np.ndarray:
    return np.searchsorted(times // HOUR, times // HOUR - 23)


def frauds_known(payments: pd.DataFrame, waiting: float) -> np.ndarray:
    """Earlier frauds of the destination whose label was known `waiting` delays after them."""
    result = np.zeros(len(payments))
    times = payments["event_time"].to_numpy()
    known_at = times + waiting * (payments["label_time"].to_numpy() - times)
    fraud = payments["is_fraud"].to_numpy() == 1
    for rows in payments.groupby("destination").indices.values():
        known = np.sort(known_at[rows][fraud[rows]])
        result[rows] = np.searchsorted(known, times[rows], side="right")
    return result


# The leaks that live in features.

LEAKS = {
    "the label": lambda payments: payments["is_fraud"],
    "the label in noise": lambda payments: (
        payments["is_fraud"] * 0.3 + np.random.default_rng(1).random(len(payments))),
    "a balance from after the event": lambda payments: payments["balance_after"],
    "the error of both balances": lambda payments: (
        payments["origin_balance_cents"] - payments["balance_after"] - payments["amount_cents"]),
    "the destination's payments in all of the file": lambda payments: (
        payments.groupby("destination")["position"].transform("size")),
    "payments of the origin until the export": lambda payments: (
        payments.groupby("origin").cumcount(ascending=False)),
    "payments of the destination in the hour": lambda payments: windowed(
        payments, "destination", first_of(HOUR), last_of(HOUR)),
    "money of the destination in the hour": lambda payments: windowed(
        payments, "destination", first_of(HOUR), last_of(HOUR), "amount_cents"),
    "time to the next payment within ten minutes": lambda payments: (
        -payments.groupby("origin")["event_time"].diff(-1)).clip(upper=10 * MINUTE).fillna(0),
    "payments in the half hour before and after": lambda payments: windowed(
        payments, "origin", lambda times: np.searchsorted(times, times - HOUR // 2),
        lambda times: np.searchsorted(times, times + HOUR // 2)),
    "payments until the end of the day": lambda payments: windowed(
        payments, "origin", itself, last_of(24 * HOUR)),
    "later frauds of the destination": lambda payments: windowed(
        payments, "destination", itself, lambda times: np.full(times.size, times.size),
        "is_fraud"),
    "the share of fraud of an amount among all rows": lambda payments: (
        payments.groupby("amount_cents")["is_fraud"].transform("mean")),
    "earlier frauds of the destination before their labels were known": lambda payments: (
        frauds_known(payments, 0.0)),
    "the time until the label was known": lambda payments: (
        payments["label_time"] - payments["event_time"]),
}


def earlier_payments_of_the_day(payments: pd.DataFrame) -> np.ndarray:
    return windowed(payments, "origin", a_day_before, itself)


def earlier_frauds(payments: pd.DataFrame) -> np.ndarray:
    """Frauds of the destination that were known before: the legitimate lagged label."""
    return frauds_known(payments, 1.0)


# The leaks that live in the data, with the trace that names each.

def _in_frauds(column: str, change):
    def planted(payments: pd.DataFrame, some: pd.Series) -> pd.DataFrame:
        return payments.assign(**{column: payments[column].where(~some, change(payments[column]))})

    return planted


def _copied(payments: pd.DataFrame, some: pd.Series) -> pd.DataFrame:
    copies = payments[some].assign(transaction_id=payments["transaction_id"] + "0")
    return pd.concat([payments, copies]).sort_values("event_time", kind="stable")


def _frauds_first(payments: pd.DataFrame, some: pd.Series) -> pd.DataFrame:
    """All payments of five minutes at one moment, in the order of the label."""
    moment = payments["event_time"] // (5 * MINUTE) * 5 * MINUTE
    return payments.assign(event_time=moment, is_last=~some).sort_values(
        ["event_time", "is_last"], kind="stable").drop(columns="is_last")


DATA_LEAKS = {
    "trace_cents": _in_frauds("amount_cents", lambda cents: cents // 100 * 100 + 99),
    "trace_roundness": _in_frauds("amount_cents", lambda cents: cents // 100 * 100),
    "trace_second": _in_frauds("event_time", lambda time: time // 1_000 * 1_000),
    "trace_minute": _in_frauds("event_time", lambda time: time // MINUTE * MINUTE),
    "trace_order": _frauds_first,
    "trace_repeated": _copied,
    "trace_id_start": _in_frauds("transaction_id", lambda name: "x" + name.str[1:]),
    "trace_id_end": _in_frauds("transaction_id", lambda name: name.str[:-1] + "f"),
    "trace_id_length": _in_frauds("transaction_id", lambda name: name + "0"),
    "trace_destination_length": _in_frauds("destination", lambda name: name + "00"),
}


@pytest.fixture(scope="module")
def payments() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    number = np.arange(ROWS)
    fraud = rng.random(ROWS) < 0.03
    time = np.sort(rng.integers(0, 100 * HOUR, ROWS))
    return pd.DataFrame({
        "position": number, "transaction_id": (number + 10 ** 6).astype(str),
        "event_time": time, "type": rng.choice(TYPES, ROWS),
        "amount_cents": rng.integers(0, 3_000, ROWS) + 1_500 * (fraud & (rng.random(ROWS) < 0.5)),
        "origin": rng.integers(10_000, 15_000, ROWS).astype(str),
        "destination": rng.integers(20_000, 23_000, ROWS).astype(str),
        "origin_balance_cents": rng.integers(0, 10_000, ROWS),
        "destination_balance_cents": rng.integers(0, 10_000, ROWS),
        "is_fraud": fraud.astype(np.int8),
        "label_time": time + rng.integers(1, 8, ROWS) * HOUR,
        "incident_id": np.where(fraud, number.astype(str), None),
        "balance_after": np.where(fraud, 0, rng.integers(200, 10_000, ROWS))})


@pytest.fixture(scope="module")
def audit_of(tmp_path_factory):
    """Audits legitimate features of payments and, beside them, planted ones."""
    def compute(path, folder, planted) -> None:
        table = pq.read_table(path).to_pandas()
        columns = planted(table) if callable(planted) else {
            "amount": table["amount_cents"], "sent": earlier_payments_of_the_day(table),
            **{name: feature(table) for name, feature in planted.items()}}
        folder.mkdir()
        pq.write_table(pa.table({"position": table["position"], **{
            name: np.asarray(column, np.float32) for name, column in columns.items()}}),
            folder / "part.parquet")

    def audit_of(payments, planted=None, settings=SETTINGS, after_event=False) -> Leakage:
        folder = tmp_path_factory.mktemp("audit")
        path = folder / "payments.parquet"
        pq.write_table(pa.Table.from_pandas(payments, preserve_index=False), path)
        made = point_in_time.point_in_time_copy(
            str(path), 90 * HOUR, ROWS, folder / "copy.parquet", 7)
        for file, name in ((path, "features"), (made.original, "original"),
                           (made.transactions, "again")):
            compute(file, folder / name, planted or {})
        after = {"balance_after": payments["balance_after"].to_numpy()[:made.end]}
        folders = Folders(*(str(folder / name) for name in ("features", "original", "again")))
        return audit(folders, str(path), made, 90 * HOUR, after if after_event else {}, settings,
                     7)

    return audit_of


@pytest.fixture
def audited(audit_of, payments):
    def audited(*planted, **options) -> Leakage:
        return audit_of(payments, {name: LEAKS[name] for name in planted}, **options)

    return audited


@pytest.fixture(scope="module")
def with_all_leaks(audit_of, payments) -> Leakage:
    return audit_of(payments, {**LEAKS, "earlier frauds": earlier_frauds})


@pytest.mark.parametrize("name", LEAKS)
def test_a_feature_that_knows_the_future_is_blocked_by_its_name(with_all_leaks, name):
    assert any(finding.startswith(f"{name} knows the future")
               for finding in with_all_leaks.findings)


def test_only_planted_features_are_blocked(with_all_leaks):
    accused = {finding.split(" knows the future")[0] for finding in with_all_leaks.findings
               if " knows the future" in finding}
    assert accused == set(LEAKS)
    with pytest.raises(TrainingError, match="the leakage audit stops this run"):
        check(with_all_leaks)


@pytest.mark.parametrize("names", [
    ("trace_cents", "trace_second", "trace_id_start", "trace_id_length",
     "trace_destination_length"),
    ("trace_roundness", "trace_minute", "trace_id_end"), ("trace_order",), ("trace_repeated",)])
def test_data_that_give_fraud_away_by_a_trace_are_blocked_by_its_name(audit_of, payments, names):
    some = (payments["is_fraud"] == 1) & (np.random.default_rng(3).random(ROWS) < 0.6)
    planted = payments
    for name in names:
        planted = DATA_LEAKS[name](planted, some)
    found = audit_of(planted.assign(position=np.arange(len(planted))))
    for name in names:
        assert any(f"{name} (" in finding and "alone reaches an AUPRC" in finding
                   for finding in found.findings), found.traces
    assert all("by a trace" in finding for finding in found.findings)


def test_frauds_that_were_known_before_a_payment_are_a_legitimate_feature(audit_of, payments):
    found = audit_of(payments, {"earlier frauds": earlier_frauds})
    check(found)
    assert found.compared_rows > 5_000


# Leaks that nobody can see in the data: docs/data-contract.md asks for care.

def test_a_wrong_label_time_is_not_seen(audit_of, payments):
    """Labels that are said to be known at once are used at once."""
    found = audit_of(payments.assign(label_time=payments["event_time"] + 1),
                     {"earlier frauds": earlier_frauds})
    assert found.findings == []


def test_a_balance_from_after_the_event_is_seen_under_a_known_name_if_it_is_strong(
        audit_of, payments):
    def balance(some: pd.Series) -> Leakage:
        return audit_of(payments.assign(origin_balance_cents=payments["origin_balance_cents"].where(
            ~some, 0)), {"balance": lambda table: table["origin_balance_cents"]})

    fraud = payments["is_fraud"] == 1
    assert any(finding.startswith("balance alone") for finding in balance(fraud).findings)
    third = fraud & (np.arange(ROWS) % 3 == 0)
    assert balance(third).findings == []


def test_legitimate_features_pass(audited):
    found = audited()
    check(found)
    assert (found.findings, found.with_post_event_columns) == ([], None)
    assert 5_000 < found.compared_rows < 0.9 * ROWS
    assert found.interval[0] <= found.shuffled <= found.interval[1] < found.without_leaks.auprc
    assert list(found.alone) == ["amount", "sent"]
    assert "trace_cents" in found.traces and "trace_id_length" not in found.traces  # never varies
    assert max(score.auprc for score in found.traces.values()) < 2 * found.base_rate


@pytest.mark.parametrize(("chance", "together", "accused"), [
    (0.02, 0.0, ["x", "y"]), (0.95, 0.0, ["y"]), (0.02, 0.97, ["y"]), (0.02, 1.0, [])])
def test_alone_is_judged_against_chance_and_what_is_allowed(chance, together, accused):
    scores = {"x": Score(0.96, 1.0), "y": Score(0.999, 1.0)}
    findings = checks._too_good_alone(scores, together, chance, SETTINGS)
    assert [finding.split()[0] for finding in findings] == accused


@pytest.mark.parametrize(("incidents", "chance", "doubt"), [
    (19, 0.02, "the audit measures on 19 incidents and needs 20"), (20, 0.5, None),
    (20, 0.95, "95% of the payments that the audit measures on are frauds"),
    (20, 1.0, "100% of the payments that the audit measures on are frauds")])
def test_nothing_is_judged_alone_on_few_incidents_or_on_frauds_only(incidents, chance, doubt):
    score = Score(1.0, 1.0)
    result = Leakage([], 509, 1, {"x": score}, score, None, 0.0, (0.0, 1.0), incidents, chance, {})
    assert doubt is None and result.doubt is None or doubt in result.doubt


@pytest.mark.parametrize("last_frauds", [
    {"incident_id": "one"},             # frauds of one incident
    {"is_fraud": 1}])                   # hardly anything else is left of the last part
def test_a_perfect_feature_is_not_accused_where_nothing_can_be_judged(
        audit_of, payments, last_frauds):
    rows = payments["position"] > 0.4 * ROWS
    [(column, value)] = last_frauds.items()
    if column == "incident_id":
        rows &= payments["is_fraud"] == 1
    changed = payments.assign(**{column: payments[column].where(~rows, value)})
    changed["incident_id"] = changed["incident_id"].where(
        changed["incident_id"].notna() | (changed["is_fraud"] == 0), changed["transaction_id"])
    found = audit_of(changed.assign(balance=changed["is_fraud"]), {
        "balance": lambda table: table["balance_after"] * 0})
    assert found.doubt
    assert not any("alone" in finding for finding in found.findings)


def test_a_feature_that_is_too_good_alone_is_blocked_unless_a_reason_is_given(audited):
    name = "a balance from after the event"
    found = audited(name)
    assert any(finding.startswith(f"{name} alone reaches an AUPRC of 1.000") and
               "audit.allowed" in finding for finding in found.findings)
    assert next(iter(found.alone)) == name
    allowed = audited(name, settings=Audit(10_000, 0.9, 0.1, {name: "an example"}))
    assert not any("alone reaches" in finding for finding in allowed.findings)


def product_features(payments: pd.DataFrame) -> dict[str, np.ndarray]:
    """All features of the product."""
    names = ["event_time", "amount_cents", "origin", "destination"]
    counts = np.array(list(recounted(payments[names].itertuples(index=False)))).T
    columns = PaymentColumns(
        payments["event_time"].to_numpy(), payments["type"].map(DEFAULT.type_codes).to_numpy(),
        payments["amount_cents"].to_numpy(), payments["destination"].notna().to_numpy(),
        payments["origin_balance_cents"].to_numpy(np.float64),
        payments["destination_balance_cents"].to_numpy(np.float64))
    return dict(zip(DEFAULT.names, DEFAULT.matrix(columns, counts_of(list(counts))).T,
                    strict=True))


@pytest.mark.parametrize("balances", [True, False])
def test_data_like_those_of_paysim_are_not_blocked(audit_of, payments, balances):
    """Only frauds are large, and in the original they take all of the balance."""
    fraud = payments["is_fraud"] == 1
    large = np.random.default_rng(3).integers(20_000_000, 1_000_000_000, ROWS)
    easy = payments.assign(amount_cents=payments["amount_cents"].where(~fraud, large))
    if balances:
        easy["origin_balance_cents"] = easy["origin_balance_cents"].where(
            ~fraud, easy["amount_cents"])
    settings = load(FILE).audit
    found = audit_of(easy, product_features, settings=settings)
    assert found.findings == []
    assert found.alone["empties_account" if balances else "amount"].f1 > 0.99
    perfect = {name for name, score in found.alone.items() if score.auprc > settings.alone_auprc}
    assert perfect - set(settings.allowed)          # that follow from the amount


def test_a_reason_lets_a_trace_pass(audit_of, payments):
    whole = _in_frauds("amount_cents", lambda cents: cents // 100 * 100)(
        payments, payments["is_fraud"] == 1)
    reasons = {"trace_cents": "they ask for round sums", "trace_roundness": "the same"}
    assert audit_of(whole, settings=Audit(10_000, 0.9, 0.1, reasons)).findings == []


def test_labels_that_reach_features_make_shuffled_labels_learnable(audited):
    found = audited("the label in noise")
    assert found.shuffled > found.interval[1]
    assert any("shuffled labels" in one for one in found.findings)


def test_columns_from_after_the_event_are_shown_beside_legitimate_features(audited):
    found = audited(after_event=True)
    assert found.with_post_event_columns.auprc > 0.9 > found.without_leaks.auprc
    assert found.findings == []             # no feature is made of them


def test_of_many_payments_the_last_are_fitted_on(audited, monkeypatch):
    monkeypatch.setattr(checks, "MOST", ROWS // 2)
    assert audited().rows == ROWS // 2


def test_labels_that_nobody_knew_then_are_not_used(audited, payments, monkeypatch):
    late = np.where(np.arange(ROWS) % 4 == 0, 90 * HOUR, payments["label_time"])
    monkeypatch.setitem(payments, "label_time", late)
    found = audited(after_event=True)
    assert found.rows == np.count_nonzero(late < 90 * HOUR)
    assert found.findings == []


def test_too_few_frauds_are_said(audited, payments, monkeypatch):
    monkeypatch.setitem(payments, "is_fraud", np.zeros(ROWS, np.int8))
    with pytest.raises(TrainingError, match=r"has 0 frauds in its 17,\d+ rows and needs 10"):
        audited()


def test_the_average_precision_of_ranks_is_that_of_sklearn():
    from sklearn.metrics import average_precision_score

    label = np.random.default_rng(7).random(500) < 0.1
    assert checks._average_precision(np.flatnonzero(label)) == pytest.approx(
        average_precision_score(label, -np.arange(500)))


# The parts of the audit.

def test_a_finding_names_the_feature_and_the_rows_that_change():
    assert checks._knows_the_future({"x": 1_200, "y": 1}, 5_000) == [
        f"{name} knows the future ({rows} of 5,000 rows change when later payments are deleted, "
        "and labels and post-event columns are overwritten): compute it from earlier payments and "
        "the payment itself" for name, rows in (("x", "1,200"), ("y", "1"))]


@pytest.mark.parametrize(("auprc", "leaks"), [
    (0.0199, True), (0.02, False), (0.03, False), (0.04, False), (0.0401, True)])
def test_shuffled_labels_may_reach_all_of_the_interval_of_chance(auprc, leaks):
    findings = checks._labels_reach_features(auprc, (0.02, 0.04))
    assert findings == [f"a model of shuffled labels reaches an AUPRC of {auprc:.4f}, while "
                        "chance gives 0.0200 to 0.0400: labels reach the features"] * leaks


def test_a_feature_that_is_too_good_alone_is_named_with_its_limit():
    [finding] = checks._too_good_alone({"x": Score(0.96, 1.0)}, 0.0, 0.2, SETTINGS)
    assert finding == (
        "x alone reaches an AUPRC of 0.960, above 0.92 (chance gives 0.2): such a feature usually "
        f"knows the label; if it may, {checks.ALLOW}")


@pytest.mark.parametrize(("auprc", "together", "accused"), [
    (0.75, 0.0, False), (0.76, 0.76, False), (0.77, 0.76, True)])
def test_a_feature_at_the_limit_or_as_good_as_those_with_a_reason_is_not_accused(
        auprc, together, accused):
    settings = Audit(rows=10_000, alone_auprc=0.5, trace_auprc=0.1, allowed={})
    findings = checks._too_good_alone({"x": Score(auprc, 1.0)}, together, 0.5, settings)
    assert bool(findings) is accused


def test_findings_are_all_in_the_error_that_stops_a_run():
    score = Score(0.5, 0.5)
    found = Leakage(["x leaks", "y leaks"], 9, 9, {"x": score}, score, None, 0.0, (0.0, 1.0), 20,
                    0.1, {})
    with pytest.raises(TrainingError) as caught:
        check(found)
    assert str(caught.value) == "the leakage audit stops this run: x leaks; y leaks"


def test_labels_that_were_known_before_a_time_are_read_for_the_last_rows(tmp_path, monkeypatch):
    path = str(tmp_path / "payments.parquet")
    pq.write_table(pa.table({
        "position": range(6), "is_fraud": [0, 1, 0, 1, 0, 1], "event_time": range(10, 16),
        "incident_id": [None, "a", None, "b", None, "c"], "label_time": [20, 21, 30, 22, 29, 23]}),
        path)
    rows, known = checks._labelled(path, 1, 5, 30)
    assert known.tolist() == [True, False, True, True]
    assert [column.tolist() for column in rows] == [[1, 1, 0], ["a", "b", None], [11, 13, 14]]
    monkeypatch.setattr(checks, "MOST", 2)
    rows, known = checks._labelled(path, 1, 5, 30)
    assert known.tolist() == [False, False, True, True] and rows.label.tolist() == [1, 0]


def test_features_of_a_table_become_columns_of_float32():
    matrix = checks._matrix(pa.table({"x": [1, 2], "y": [0.1, 0.2], "z": [3, 4]}), ["y", "x"])
    assert matrix.dtype == np.float32
    assert matrix.tolist() == np.float32([[0.1, 1], [0.2, 2]]).tolist()


def test_the_interval_of_chance_holds_nearly_all_random_orders():
    rng = np.random.default_rng(3)
    label = (rng.random(2_000) < 0.05).astype(np.int8)
    auprc, (low, high) = checks._shuffled(np.zeros((2_000, 1), np.float32), label, 7)
    assert low < auprc < high           # ties are broken at random, not in the order of the file
    last = label[small_trees.borders(label)[1]:]
    orders = [checks._average_precision(np.flatnonzero(rng.permutation(last)))
              for _ in range(5_000)]
    assert np.mean(np.array(orders) < low) == pytest.approx(0.0005, abs=0.0015)
    assert np.mean(np.array(orders) > high) == pytest.approx(0.0005, abs=0.0015)
