from fraud.history import BUCKET_MS, DAY_BUCKETS
from fraud.pending import collect
from fraud.stores.memory import MemoryStore
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
    assert [(case.index, case.repeats, case.counts) for case in pending] == [
        (0, [], None), (1, [], None)]
    assert not any(case.is_complete for case in pending)


def test_history_is_complete_when_the_store_has_recorded_the_whole_day():
    day = (DAY_BUCKETS - 1) * BUCKET_MS
    for since, is_complete in ((NOON - day, True), (NOON - day + 1, False)):
        [case] = collect([payment("a")], claims_of([payment("a")], since))
        assert case.is_complete is is_complete
        assert case.counts == [0] * 16
