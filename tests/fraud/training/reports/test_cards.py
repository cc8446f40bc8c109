import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from metaflow.cards import Markdown, Table
from msgspec import structs

from fraud.bundle import Thresholds
from fraud.training.evaluation.gate import PromotionDecision
from fraud.training.evaluation.test_report import load_bundle, report
from fraud.training.features.splits import Rows
from fraud.training.promotion.final_test import Contestant, FinalTest
from fraud.training.reports import cards, figure_files
from tests.factories import prepared, stored

SCORES = np.array([0.95, 0.6, 0.6, 0.1, 0.1, 0.9])


@pytest.fixture
def test(make_bundle, tmp_path) -> FinalTest:
    """Six payments of one day, three of them fraud."""
    rows = Rows(features=stored(np.zeros((6, 1), np.float32), ["amount"]),
                label=np.array([1, 1, 0, 1, 0, 0], np.int8), event_time=np.arange(6),
                amount=np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]), type=np.array(["TRANSFER"] * 6),
                incident=np.array(list("aabcde")), fraud_type=np.array(["scam"] * 6), days=1.0)
    make_bundle(tmp_path / "bundle")
    bundle, thresholds = load_bundle(tmp_path / "bundle"), Thresholds(0.5, 0.9)
    bundle = replace(bundle, policy=structs.replace(bundle.policy, model=thresholds))
    selected = Contestant(bundle, SCORES, report("xgboost", SCORES, rows, thresholds, 7))
    decision = PromotionDecision(True, "there is no champion yet")
    return FinalTest([selected], selected.report, decision, 1, rows, {})


@pytest.fixture
def figures(tmp_path) -> Path:
    """A directory of files that begin as PNG files do, each with its name in it."""
    for name in (figure_files.GAIN, figure_files.ALERTS_BY_DAY, *figure_files.DIAGNOSIS):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n" + name.encode())
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*imghdr:DeprecationWarning")      # a copy in Metaflow
def test_figures_are_those_of_the_files(figures):
    names = [base64.b64decode(image.render()["src"].partition(",")[2])[8:].decode()
             for image in cards.diagnosis(figures)]
    assert names == list(figure_files.DIAGNOSIS)


def tables(components: list) -> list[list[dict]]:
    """The rows of each table, by header."""
    return [[dict(zip(table._headers, row, strict=True)) for row in table._data]
            for table in components if isinstance(table, Table)]


def test_decisions_thresholds_and_days_are_tables(test, figures):
    outcomes, thresholds, days = tables(cards.decisions(test, 3.0, figures))
    assert [(row[""], row["fraud"], row["legitimate"], row["money of fraud"])
            for row in outcomes] == [("approve", "1", "1", "8"), ("review", "1", "1", "2"),
                                     ("decline", "1", "1", "1")]
    assert {"score": "0.5000 review", "alerts a day": "4.0", "precision": "0.500",
            "recall": "0.667", "money missed": "8"} in thresholds
    assert [(row["payments"], row["alerts of the budget"], row["caught"]) for row in days] == [
        ("6", "4 of 3", "2")]


def test_money_missed_comes_before_money_stopped(test):
    _, money = tables(cards.final_test(list(test.reports.values()), test.decision))
    headers = list(money[0])
    assert headers.index("money missed") < headers.index("money stopped")
    # The incident's second payment counts nothing: the first one was declined.
    assert (money[0]["money missed"], money[0]["money stopped"]) == ("8", "1")
    assert money[0]["money missed with reviews"] == "8"


def test_reviews_by_loss_have_a_table_of_losses(test, figures):
    levels = Thresholds(3.0, 0.9, "loss")
    selected = test.selected
    bundle = replace(selected.bundle, policy=structs.replace(selected.bundle.policy, model=levels))
    by_loss = replace(test, contestants=[replace(selected, bundle=bundle)])
    _, scores, losses, _ = tables(cards.decisions(by_loss, 3.0, figures))
    assert any(row["score"] == "0.9000 decline" for row in scores)
    assert any(row["expected loss"] == "3.0000 review" for row in losses)


@pytest.mark.parametrize(("sampled", "warned"), [(500, True), (1_000, False)])
def test_a_sample_says_that_it_cuts_history(sampled, warned):
    texts = [part._text for part in cards.data(prepared(sampled_rows=sampled), [])
             if isinstance(part, Markdown)]
    assert any("cuts the history" in text for text in texts) == warned
