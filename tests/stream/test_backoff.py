import pytest

from stream.backoff import backoff


@pytest.mark.parametrize(("failures", "limit", "longest"), [
    (1, 10, 0.2), (2, 10, 0.4), (6, 10, 6.4), (7, 10, 10), (99, 10, 10), (30, 1e12, 0.1 * 2**30),
    (31, 1e12, 0.1 * 2**30)])
def test_waiting_doubles_up_to_a_limit_less_a_random_part_of_up_to_a_half(
        failures, limit, longest):
    waits = [backoff(failures, limit) / longest for _ in range(1_000)]
    assert 0.5 <= min(waits) < 0.52 and 0.98 < max(waits) <= 1
    assert len(set(waits)) > 900                        # by chance: not all at once
