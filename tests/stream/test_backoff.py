from stream.backoff import backoff


def test_waiting_grows_up_to_a_limit():
    waits = [backoff(failures, limit=10) for failures in range(1, 100)]
    assert all(0.05 <= wait <= 10 for wait in waits)
    assert waits[0] <= 0.2 and min(waits[10:]) >= 5
    assert len(set(waits)) > 90                         # by chance: not all at once
