from fraud.clock import HOUR_MS
from fraud.pending import collect
from fraud.stores.memory import MemoryStore
from fraud.windows import COUNT_NAMES, DAY_HOURS
from tests.factories import NOON, payment


def claims_of(payments, since):
    """Claims by index, of a store that has recorded since a time."""
    store = MemoryStore(id_ttl_ms=1_000, max_ids=10, max_accounts=10)
    store.fill([], since, NOON)
    return dict(enumerate(store.claim(payments, NOON)))


def test_a_payment_that_its_batch_repeats_is_pending_once():
    payments = [payment("a"), payment("b"), payment("a"), payment("a")]
    first, second = collect(payments, claims_of(payments, 0))
    assert (first.index, first.repeats, first.payment) == (0, [2, 3], payments[0])
    assert (second.index, second.repeats, second.payment) == (1, [], payments[1])


def test_without_a_store_every_payment_is_pending_and_has_no_counts():
    pending = collect([payment("a"), payment("a")], {0: None, 1: None})
    assert [(case.index, case.repeats, case.history) for case in pending] == [
        (0, [], None), (1, [], None)]
    assert not any(case.uses_history for case in pending)


def test_the_model_scores_when_the_store_has_recorded_the_whole_day():
    day = (DAY_HOURS - 1) * HOUR_MS
    for since, uses_history, windows in (
            (0, True, 4), (NOON - day, True, 2), (NOON - day + 1, False, 1)):
        [case] = collect([payment("a")], claims_of([payment("a")], since))
        assert case.uses_history is uses_history
        assert case.history == ([0] * len(COUNT_NAMES), windows)
