import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.metrics import average_precision_score, f1_score

from fraud.training.evaluation.paired_bootstrap import ScoredModel, compare

HOUR = 3_600_000


def period(incidents: int, legitimate: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, incidents of two frauds each, and times of a period of 100 hours."""
    rng = np.random.default_rng(seed)
    label = np.r_[np.ones(2 * incidents, np.int8), np.zeros(legitimate, np.int8)]
    incident = np.r_[np.repeat(np.arange(incidents), 2).astype(str).astype(object),
                     np.full(legitimate, None, object)]
    return label, incident, rng.integers(0, 100 * HOUR, label.size)


def scores(label: np.ndarray, incident: np.ndarray, seed: int,
           missed: tuple[float, float]) -> ScoredModel:
    """A model that finds incidents whole, or misses them: those from one share of them to another,
    in an order that is the same for all models.
    """
    rng = np.random.default_rng(seed)
    score = rng.beta(1, 40, label.size)
    fraud = label == 1
    names, which = np.unique(incident[fraud].astype(str), return_inverse=True)
    place = np.random.default_rng(7).permutation(names.size) / names.size
    found = (place < missed[0]) | (place >= missed[1])
    score[fraud] = np.where(found[which], rng.beta(30, 3, which.size), score[fraud])
    return ScoredModel(score, 0.5)


@settings(max_examples=25)
@given(seed=st.integers(0, 10 ** 6), ties=st.integers(1, 50))
def test_differences_are_those_of_sklearn(seed, ties):
    label, incident, time = period(20, 300, seed)
    models = [ScoredModel(np.round(one.score * ties) / ties, 0.5) for one in (
        scores(label, incident, seed, (0.0, 0.2)), scores(label, incident, seed + 1, (0.1, 0.4)))]
    found = compare(*models, label, incident, time, seed)
    f1 = [f1_score(label, model.score >= 0.5) for model in models]
    auprc = [average_precision_score(label, model.score) for model in models]
    assert found.f1 == pytest.approx(f1[0] - f1[1], abs=1e-12)
    assert found.auprc == pytest.approx(auprc[0] - auprc[1], abs=1e-12)


def test_a_model_is_no_better_than_itself_in_any_draw():
    label, incident, time = period(50, 1_000, 7)
    one = scores(label, incident, 1, (0.0, 0.3))
    assert compare(one, one, label, incident, time, 7) == (0, 0, 0, 0, 0.5)


def test_a_model_that_misses_more_wins_in_few_draws():
    label, incident, time = period(50, 1_000, 7)
    good, bad = (scores(label, incident, 1, (0.0, missed)) for missed in (0.1, 0.3))
    wins = [compare(ours, theirs, label, incident, time, 7).f1_wins
            for ours, theirs in ((good, bad), (bad, good))]
    assert wins[0] > 0.9 and sum(wins) == pytest.approx(1.0, abs=0.01)


def test_bounds_lie_below_the_difference_and_nearer_to_it_with_more_incidents():
    widths = []
    for incidents in (100, 1_600):
        label, incident, time = period(incidents, 20_000, 7)
        found = compare(scores(label, incident, 1, (0.0, 0.1)),
                        scores(label, incident, 2, (0.1, 0.2)), label, incident, time, 7)
        assert found.f1_bound < found.f1 and found.auprc_bound < found.auprc
        widths.append(found.f1 - found.f1_bound)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.4)        # by the root of their number


def test_what_is_found_or_missed_together_counts_as_one():
    """Incidents of two payments are half as much evidence as payments alone would be."""
    label, incident, time = period(400, 20_000, 7)
    ours = scores(label, incident, 1, (0.0, 0.1))
    theirs = scores(label, incident, 2, (0.1, 0.2))
    alone = np.where(label == 1, np.arange(label.size).astype(str).astype(object), None)
    together = compare(ours, theirs, label, incident, time, 7)
    apart = compare(ours, theirs, label, alone, time, 7)
    assert together.f1 == apart.f1
    assert (together.f1 - together.f1_bound) / (apart.f1 - apart.f1_bound) == pytest.approx(
        2 ** 0.5, rel=0.15)
