import numpy as np
import pandas as pd
import pytest

from fraud import clock
from fraud.features import DEFAULT
from monitoring import drift, settings, windows
from monitoring.settings import ReportSettings
from tests.monitoring.conftest import DAY, decide, write_log

SETTINGS = settings.read_settings(settings.FOLDER / "report.toml", ReportSettings)
HOUR = clock.HOUR_MS


@pytest.fixture(scope="module")
def weeks(month, tmp_path_factory) -> list[pd.DataFrame]:
    """The second to fourth week of the month."""
    directory = tmp_path_factory.mktemp("weeks")
    return [windows.of_log([write_log(month.days(day, day + 7), directory / f"{day}.jsonl")]
                           ).payments for day in (7, 14, 21)]


def compared(reference: pd.DataFrame, current: pd.DataFrame, seed: int = 7) -> drift.Drift:
    ours, theirs = drift.like_hours(reference["event_time"].to_numpy(),
                                    current["event_time"].to_numpy(), seed)
    return drift.compare(reference.iloc[ours], current.iloc[theirs], DEFAULT.names, SETTINGS)


def drifted(result: drift.Drift) -> set[str]:
    assert not result.why
    return {column.name for column in result.columns if column.drifted}


def with_amounts(table: pd.DataFrame, factor: float) -> pd.DataFrame:
    return table.assign(amount=table["amount"] * factor)


def with_transfers(table: pd.DataFrame, factor: float, seed: int = 7) -> pd.DataFrame:
    """As many rows, of which `factor` times as many are transfers."""
    transfer = (table["type"] == "TRANSFER").to_numpy()
    weight = np.where(transfer, factor, (1 - factor * transfer.mean()) / (1 - transfer.mean()))
    return table.sample(len(table), replace=True, weights=weight, random_state=seed)


# Like hours.

def test_as_many_of_each_hour_of_the_week_are_drawn_from_both():
    chance = np.random.default_rng(7)
    reference = chance.integers(0, 10 * DAY, 5_000)
    current = chance.integers(3 * DAY, 6 * DAY, 3_000)
    sides = drift.like_hours(reference, current, seed=1)
    hours = [np.bincount(times[positions] // HOUR % 168, minlength=168)
             for times, positions in zip((reference, current), sides, strict=True)]
    assert (hours[0] == hours[1]).all()
    whole = [np.bincount(times // HOUR % 168, minlength=168) for times in (reference, current)]
    assert (hours[0] == np.minimum(*whole)).all()
    assert all(len(set(positions)) == len(positions) for positions in sides)


def test_a_monday_morning_is_compared_with_mondays_mornings():
    monday = 1_704_067_200_000 + 9 * HOUR
    sunday, next_monday = monday - DAY, monday + 7 * DAY
    reference = np.array([sunday, monday, monday + HOUR])
    ours, theirs = drift.like_hours(reference, np.array([next_monday]), seed=1)
    assert (reference[ours] == [monday]).all() and (theirs == [0]).all()


def test_a_rhythm_is_no_drift(weeks):
    def night_and_day(table, night):
        of_night = (table["event_time"] // HOUR % 24 < 8).to_numpy()
        return table[of_night == night]

    reference, current = weeks[0], weeks[1]
    half = pd.concat([night_and_day(current, True), night_and_day(current, False)[::4]])
    assert drifted(compared(reference, half)) == set()


# What is drift.

def test_other_weeks_of_the_same_behaviour_are_no_drift(weeks):
    for first, second in ((0, 1), (1, 2)):
        assert drifted(compared(weeks[first], weeks[second])) == set()


def test_higher_amounts_and_more_transfers_are_drift(weeks):
    reference, current = weeks[0], weeks[1]
    result = compared(reference, with_amounts(current, 1.2))
    assert "amount" in drifted(result)
    assert "type" in drifted(compared(reference, with_transfers(current, 2)))


def test_a_column_that_is_less_often_known_has_drifted(weeks):
    reference, current = weeks[0], weeks[1]
    names = ["origin_sent_amount_day", "empties_account"]       # a number, a category
    is_known = np.arange(len(current)) % 2 == 0
    result = compared(reference, current.assign(
        **{name: current[name].where(is_known) for name in names}))
    assert drifted(result) == set(names)
    moved = {column.name: column.share_moved for column in result.columns}
    assert [moved[name] for name in names] == pytest.approx([0.5, 0.5], abs=0.03)
    assert reference["origin_sent_amount_month"].isna().all()
    assert moved["origin_sent_amount_month"] == 0, "it is unknown on both sides"


def test_scores_that_moved_are_drift(weeks):
    reference, current = weeks[0], weeks[1]
    moved = current.assign(score=np.sqrt(current["score"]))
    result = compared(reference, moved)
    assert drifted(result) == {"score"}
    assert result.share == 0, "the share is that of the data"


def test_a_difference_without_weight_is_no_drift_however_sure_it_is(weeks):
    many = pd.concat([weeks[0]] * 8)
    result = compared(many, with_amounts(many, 1.05))
    [amount] = [column for column in result.columns if column.name == "amount"]
    assert amount.q_value < 1e-6 and amount.share_moved < amount.least_share
    assert not amount.drifted


def test_a_difference_that_chance_explains_is_no_drift_however_large_it_looks(weeks):
    few = SETTINGS.drift.min_payments
    settings_of_few = ReportSettings(
        SETTINGS.seed, settings.DriftThresholds(SETTINGS.drift.false_discovery_rate, 100),
        SETTINGS.least_share, SETTINGS.performance)
    assert few > 300
    result = drift.compare(weeks[0].sample(300, random_state=1), weeks[0].sample(
        300, random_state=2), DEFAULT.names, settings_of_few)
    assert any(column.share_moved > column.least_share for column in result.columns)
    assert drifted(result) == set()


def test_p_values_are_corrected_for_the_number_of_columns(weeks):
    columns = compared(weeks[0], weeks[1]).columns
    assert len(columns) == len(drift.compared_columns(DEFAULT.names)) == 71
    p = np.array(sorted(column.p_value for column in columns))
    expected = np.minimum.accumulate((p * p.size / np.arange(1, p.size + 1))[::-1])[::-1]
    assert np.allclose(sorted(column.q_value for column in columns), np.minimum(expected, 1))


def test_every_feature_is_compared_by_itself_or_within_the_type_or_by_like_hours():
    compared_once = drift.compared_columns(DEFAULT.names)
    assert len(set(compared_once)) == len(compared_once)
    assert set(DEFAULT.names) - set(compared_once) == {
        "is_cash_in", "is_cash_out", "is_debit", "is_payment", "is_transfer", "hour_of_day"}


def test_columns_are_in_order_of_the_share_that_moved(weeks):
    shares = [column.share_moved for column in
              compared(weeks[0], with_amounts(weeks[1], 1.2)).columns]
    assert shares == sorted(shares, reverse=True) and shares[0] > shares[-1]


# The course of drift.

def test_a_change_shows_in_the_windows_since_it_came(weeks):
    reference, current = weeks[0], weeks[1]
    middle = current["event_time"].min() // DAY * DAY + 4 * DAY
    late = (current["event_time"] >= middle).to_numpy()
    current = current.assign(amount=current["amount"].where(~late, current["amount"] * 3))
    result = compared(reference, current)
    before = [window.share_moved["amount"] for window in result.windows
              if window.last_time < middle]
    since = [window.share_moved["amount"] for window in result.windows
             if window.first_time >= middle]
    assert before and since and max(before) < 0.08 < 0.15 < min(since)


def test_windows_are_whole_days_of_enough_payments_and_hold_all(weeks):
    result = compared(weeks[0], weeks[1])
    least = SETTINGS.drift.min_payments
    assert sum(window.payments for window in result.windows) == result.payments
    assert all(window.payments >= least for window in result.windows)
    for window, following in zip(result.windows, result.windows[1:], strict=False):
        assert window.last_time // DAY < following.first_time // DAY
    assert {tuple(window.share_moved) for window in result.windows} == {
        tuple(drift.compared_columns(DEFAULT.names))}


def test_a_rhythm_of_the_week_does_not_move_a_window(weeks):
    def on_mondays(table):
        monday = (table["event_time"] // DAY % 7 == 4).to_numpy()
        return table.assign(amount=table["amount"].where(~monday, table["amount"] * 5))

    result = compared(on_mondays(weeks[0]), on_mondays(weeks[1]))
    assert max(window.share_moved["amount"] for window in result.windows) < 0.08


def test_too_little_data_is_said_and_nothing_guessed(weeks):
    result = compared(weeks[0], weeks[1].iloc[:1500])
    assert result.columns == [] and result.windows == [] and result.share == 0
    assert ("payments are in hours of the week that the reference has too; 2,000 are needed"
            in result.why)


def test_nothing_at_all_is_too_little(weeks):
    assert compared(weeks[0], weeks[1].iloc[:0]).why.startswith("0 payments")


# As often as was promised.

@pytest.mark.acceptance
def test_alarms_are_rarely_false_and_rarely_missing(
        acceptance, bundle_directory, tmp_path, record_property):
    from fraud.training.simulate.simulator import create

    false_alarms, missed_amounts, missed_transfers, trials = 0, 0, 0, 0
    for seed in range(34 if acceptance else 1):
        create(140_000 if acceptance else 60_000, seed, tmp_path / "payments.parquet")
        log = write_log(decide(pd.read_parquet(tmp_path / "payments.parquet"), bundle_directory),
                        tmp_path / "log.jsonl")
        everything = windows.of_log([log]).payments
        week = (everything["event_time"] - 1_704_067_200_000) // (7 * DAY)
        for first, second in ((1, 2), (1, 3), (2, 3)):
            reference = everything[week == first]
            current = everything[week == second]
            current = current.sample(min(20_000, len(current)), random_state=seed)
            trials += 1
            false_alarms += bool(drifted(compared(reference, current, seed)))
            missed_amounts += "amount" not in drifted(
                compared(reference, with_amounts(current, 1.2), seed))
            missed_transfers += "type" not in drifted(
                compared(reference, with_transfers(current, 2, seed), seed))
    for name, value in (("trials", trials), ("false alarms", false_alarms),
                        ("missed amounts", missed_amounts), ("missed types", missed_transfers)):
        record_property(name, value)
    assert max(false_alarms, missed_amounts, missed_transfers) <= 0.05 * trials
