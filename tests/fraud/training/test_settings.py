import copy
import tomllib
from pathlib import Path

import msgspec
import pytest

from fraud.training import settings
from fraud.training.errors import TrainingError

TABLES = tomllib.loads((Path(__file__).parents[3] / "flows/train_flow.toml").read_text())
KEYS = [(table, key) for table, content in TABLES.items() if table != "seed" for key in content]

OUT_OF_RANGE = {
    "data": {"max_bad_share": [-0.1, 1.1], "label_delay_hours": [-1.0],
             "types": [[], ["transfer"], ["A B"], "TRANSFER"]},
    "split": {"train": [0, 1], "early_stopping": [0, 1], "calibration": [0, 1]},
    "alerts": {"alerts_per_day": [0, -1], "review_by": ["amount"], "decline_from": [-1],
               "review_cost": [-1]},
    "xgboost": {"max_depth": [0], "learning_rate": [0], "rounds": [0],
                "early_stopping_rounds": [0], "min_child_weight": [-1], "subsample": [0, 1.1],
                "colsample_bytree": [0, 1.1], "reg_lambda": [-1], "max_bin": [1]},
    "tensorflow": {"units": [[], [0], 64], "bins": [0], "learning_rate": [0], "batch_size": [31],
                   "fraud_share": [0, 1], "steps_per_epoch": [0], "epochs": [0], "patience": [0]},
    "audit": {"rows": [999, 500_001], "alone_auprc": [0, 1], "trace_auprc": [0, 1],
              "allowed": [{"amount": ""}]},
    "floors": {"test_f1": [-0.1, 1.1, float("nan")], "test_auprc": [-0.1, 1.1]},
    "gate": {"incidents": [0], "margin": [-0.1], "narrow_from": [0], "narrow_margin": [-0.1]},
}


def refusal(tables) -> str:
    with pytest.raises(TrainingError) as caught:
        settings.parse(tables)
    assert str(caught.value).startswith("flows/train_flow.toml: ")
    assert str(caught.value).endswith("; fix that key")
    return str(caught.value)


def changed(table: str, **values) -> dict:
    return TABLES | {table: TABLES[table] | values}


def test_the_file_is_parsed_to_what_it_says():
    parsed = settings.parse(TABLES)
    assert msgspec.to_builtins(parsed) == TABLES
    assert type(parsed.xgboost) is settings.BoostedTrees
    assert type(parsed.tensorflow) is settings.NeuralNetwork


def test_settings_cannot_be_changed():
    parsed = settings.parse(TABLES)
    with pytest.raises(AttributeError):
        parsed.split.train = 0.9


@pytest.mark.parametrize("content", [b"seed = \xcf", b"seed = " + 2000 * b"[", b"seed"])
def test_a_file_that_is_not_toml_is_named(tmp_path, content):
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(TrainingError, match="mine.toml: cannot be read as TOML"):
        settings.load(tmp_path / "mine.toml")


@pytest.mark.parametrize("table", TABLES)
def test_a_missing_table_is_named(table):
    assert f"missing required field `{table}`" in refusal(
        {name: content for name, content in TABLES.items() if name != table})


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_a_missing_key_is_named_with_its_path(table, key):
    tables = copy.deepcopy(TABLES)
    del tables[table][key]
    message = refusal(tables)
    assert f"missing required field `{key}` - at `$.{table}`" in message


@pytest.mark.parametrize("table", [name for name in TABLES if name != "seed"])
def test_a_key_that_does_not_exist_is_named_with_its_path(table):
    assert f"unknown field `rouns` - at `$.{table}`" in refusal(changed(table, rouns=3))


def test_a_table_that_does_not_exist_is_named():
    assert "unknown field `xgbost`" in refusal(TABLES | {"xgbost": {}})


@pytest.mark.parametrize(("table", "key"), [pair for pair in KEYS if pair[1] != "review_by"])
def test_a_value_of_another_type_is_named_with_its_path(table, key):
    message = refusal(changed(table, **{key: "many"}))
    assert "got `str`" in message and f"$.{table}.{key}" in message


@pytest.mark.parametrize(("table", "key", "value"), [
    (table, key, value) for table, content in OUT_OF_RANGE.items()
    for key, values in content.items() for value in values])
def test_a_value_out_of_its_range_is_named_with_its_path(table, key, value):
    message = refusal(changed(table, **{key: value}))
    assert f"$.{table}.{key}" in message and ("Expected" in message or "Invalid enum" in message)


def test_every_key_has_its_range_tried():
    assert [(table, key) for table, content in OUT_OF_RANGE.items() for key in content] == KEYS


@pytest.mark.parametrize("late", [0.25, 0.3])
def test_splits_that_leave_no_test_period_are_refused(late):
    message = refusal(changed("split", train=0.5, early_stopping=0.25, calibration=late))
    assert ("split.train + split.early_stopping + split.calibration must leave a test period"
            in message)
    assert "$.split" in message


@pytest.mark.parametrize("values", [{"narrow_from": 149}, {"narrow_margin": 0.021}])
def test_the_narrow_margin_is_for_more_incidents_and_narrower(values):
    assert ("gate.narrow_from must be at least gate.incidents, and gate.narrow_margin at most "
            "gate.margin" in refusal(changed("gate", **values)))


def test_splits_that_leave_a_test_period_are_taken():
    split = settings.parse(
        changed("split", train=0.5, early_stopping=0.25, calibration=0.125)).split
    assert split.calibration == 0.125


@pytest.mark.parametrize(("table", "changes", "is_read"), [
    ("audit", {"allowed": {"amount": "an example"}}, True),
    ("audit", {"alone_auprc": 0.5, "allowed": {"amount": "an example"}}, False),
    ("gate", {"margin": 0.5}, False)])
def test_reasons_are_read_again_from_a_file_that_differs_in_nothing_else(
        tmp_path, monkeypatch, table, changes, is_read):
    run = settings.parse(TABLES)
    now = settings.parse(changed(table, **changes))
    monkeypatch.setattr(settings, "load", lambda file: now)
    audit = settings.with_new_reasons(run, tmp_path)
    assert audit == (now.audit if is_read else run.audit)


def test_without_its_file_a_run_keeps_its_reasons(tmp_path):
    run = settings.parse(TABLES)
    assert settings.with_new_reasons(run, tmp_path / "absent.toml") == run.audit
