"""The scorer as a process: on a real broker and a real Redis."""

from tests.stream.running import headers, payment, payments, source


def test_each_message_gets_one_decision_where_it_lay(stream):
    stream.send(payments(1_000))
    stream.scorer()
    records = stream.decisions(1_000)
    assert len(records) == 1_000
    assert len({source(record) for record in records}) == 1_000
    assert {record.partition for record in records} == {0, 1, 2, 3}
    assert all(record.partition == source(record)[0] for record in records)
    assert {name for record in records for name in headers(record)} == {
        "source-partition", "source-offset"}


def test_a_repeated_payment_repeats_its_answer_and_says_so(stream):
    scorer = stream.scorer()
    stream.send([payment()])
    [first] = stream.decisions(1)
    stream.send([payment()])
    _, second = sorted(stream.decisions(2), key=lambda record: record.offset)
    assert second.value == first.value and second.key == first.key == b"C1"
    assert "duplicate" not in headers(first)
    assert headers(second)["duplicate"] == "true"
    assert scorer.stop() == 0
