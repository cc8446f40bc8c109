import pytest

from fraud.training import summary
from fraud.training.dataset import Prepared
from fraud.training.gate import Verdict
from fraud.training.incidents import Outcome
from fraud.training.judgement import Judgement
from fraud.training.registration import Registered


@pytest.fixture
def screen(make_candidate, monkeypatch):
    monkeypatch.delenv("FRAUD_MODEL", raising=False)
    prepared = Prepared("payments.csv", "d" * 64, "t", "q", 1_000, 3, {"bad-amount": 3}, 0, 1_000,
                        20, 8, 0, 1)
    metrics = {"test_f1": 0.8, "test_auprc": 0.75, "test_precision": 0.9, "test_recall": 0.7}
    judgements = {name: Judgement(name, metrics, (0.7, 0.85), {},
                                  Outcome(8, 6, 300.0, 100.0, 2.0), (1, 0, 0, 1), 12.5, 20.0)
                  for name in ("xgboost", "tensorflow", "champion 4")}
    candidates = {name: make_candidate(name) for name in ("xgboost", "tensorflow")}

    def screen(promoted: bool) -> list[str]:
        return summary.of_run(prepared, candidates, "xgboost", judgements,
                              Verdict(promoted, "the reason"),
                              Registered("5", "r", promoted)).splitlines()

    return screen


def test_it_says_what_was_found_who_won_and_why_and_what_to_do_next(screen):
    text = "\n".join(screen(promoted=True))
    for part in ("1,000 payments from payments.csv: 20 frauds in 8 incidents, 3 rows in quarantine",
                 "xgboost, for the higher F1", "0.800 (95 % 0.700 to 0.850)", "6 of 8 incidents",
                 "75% of the money", "12.5 payments a day",
                 "version 5 is promoted, and published in models", "the reason",
                 "fraud.training.registry show 5"):
        assert part in text


def test_a_version_that_is_not_promoted_is_not_called_published(screen):
    text = "\n".join(screen(promoted=False))
    assert "version 5 is registered, but not promoted" in text
    assert "published" not in text


def test_columns_stand_below_their_headings(screen):
    lines = screen(promoted=True)
    (top,) = [number for number, line in enumerate(lines) if "validation F1" in line]
    ends = [lines[top].index(heading) + len(heading)
            for heading in ("validation F1", "test F1", "AUPRC", "precision", "recall")]
    for line in lines[top + 1:top + 3]:
        assert [line[end - 5:end] for end in ends] == ["0.500", "0.800", "0.750", "0.900", "0.700"]
    assert "champion 4" in lines[top + 3]


def test_every_line_starts_with_a_bar_and_fits_a_terminal(screen):
    assert all(line.startswith("|") and len(line) <= 110 for line in screen(promoted=True))
