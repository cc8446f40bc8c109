import numpy as np
import pandas as pd
import pytest

from fraud.training.leakage import small_trees, traces
from fraud.training.leakage.small_trees import Score
from fraud.training.leakage.traces import TraceScores

HOUR = 3_600_000


def test_traces_are_read_from_the_payments(tmp_path):
    pd.DataFrame({
        "position": range(4), "transaction_id": ["a-10", "a-20", "a-21", "b-1"],
        "event_time": [7 * HOUR, 7 * HOUR, 8 * HOUR + 61_001, 9 * HOUR], "origin": "ab",
        "destination": ["abc", "abc", None, "abc"], "amount_cents": [5_000, 5_000, 199, 0]},
    ).to_parquet(tmp_path / "payments.parquet")
    columns = traces.read_columns(str(tmp_path / "payments.parquet"), 0, 4, {"trace_id_end"})
    names = {name: column.tolist() for name, column in columns.items()
             if name != "trace_destination_length"}
    assert names == {       # all origins have names of one length, and one trace is not wanted
        "trace_second": [0, 0, 1, 0], "trace_minute": [0, 0, 1_001, 0],
        "trace_hour": [0, 0, 61_001, 0], "trace_order": [0, 1, 0, 0],
        "trace_cents": [0, 0, 99, 0], "trace_roundness": [3, 3, 0, 10],
        "trace_repeated": [2, 2, 1, 1], "trace_id_length": [4, 4, 4, 3],
        "trace_id_start": [97, 97, 97, 98]}
    assert np.isnan(columns["trace_destination_length"]).tolist() == [False, False, True, False]


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, ...]:
    """A feature that finds most frauds and its logits, labels, incidents, times of an hour each."""
    rng = np.random.default_rng(7)
    label = (rng.random(20_000) < 0.03).astype(np.int8)
    feature = rng.normal(size=(20_000, 1)).astype(np.float32) + 2 * label[:, None]
    return (feature, small_trees.last_part_logits(feature, label, 7), label,
            np.where(label == 1, np.arange(20_000).astype(str), None),
            np.arange(20_000) * 100 * HOUR // 20_000)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 100, 20_000).astype(np.float32)


def test_traces_without_meaning_reach_chance_and_add_nothing(rows):
    result = traces.scores({"trace_cents": noise(1), "trace_second": noise(2)}, *rows, 7)
    assert max(score.auprc for score in result.alone.values()) < 0.06
    assert (result.strongest, result.gain_bound < traces.GAIN) == ("", True)
    assert traces.findings(result, 0.13) == []


def test_a_trace_that_is_weak_alone_is_named_for_what_it_adds_to_the_features(rows):
    """Half of the frauds have round amounts, as have three times as many other payments."""
    label = rows[2]
    chance = np.random.default_rng(3).random(20_000)
    round_ = np.where(np.where(label == 1, chance < 0.5, chance < 0.05), 0, noise(4) + 1)
    result = traces.scores({"trace_second": noise(2), "trace_cents": round_.astype(np.float32)},
                           *rows, 7)
    assert result.strongest == "trace_cents" and result.gain > result.gain_bound > traces.GAIN
    [finding] = traces.findings(result, 0.5)
    assert finding.startswith("the data gives fraud away by a trace of its making: trace_cents "
                              "(the cents of the amount) with other traces adds 0.")
    assert finding.endswith(traces.AMOUNTS)


def test_a_trace_that_is_strong_alone_is_named_once():
    result = TraceScores({"trace_cents": Score(0.2, 0.3), "trace_hour": Score(0.05, 0.1)}, 0.05,
                         0.03, "trace_cents")
    [finding] = traces.findings(result, 0.1)
    assert "trace_cents (the cents of the amount) alone reaches an AUPRC of 0.200" in finding


def test_without_traces_nothing_is_measured(rows):
    assert traces.findings(traces.scores({}, *rows, 7), 0.1) == []
