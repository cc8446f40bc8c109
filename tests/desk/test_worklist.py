"""The queue shows the highest expected loss first, and no case is taken twice."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from desk import worklist
from desk.forms import FormError
from desk.people import by_name
from desk.tables import Person
from desk.worklist import Filters, parse_filters
from tests.desk.running import NOW, account, decision, write_log


@pytest.fixture
def queue(intake, tmp_path):
    """Cases whose expected losses are 0.5, 1, 1.5 and so on, with case 1 the smallest."""
    def fill(count: int = 5, **changes) -> None:
        write_log(tmp_path / "decisions.jsonl", *(
            decision(f"t-{number}", amount_cents=100 * number, **changes)
            for number in range(1, count + 1)))
        intake.read()
    return fill


def amounts(database, filters: Filters, person, after=None) -> tuple[list[float], str | None]:
    with database.reading() as session:
        page = worklist.find(session, filters, person, NOW, after)
        return [case.amount_cents / 100 for case in page.cases], page.after


def test_pages_hold_every_case_once_in_order(queue, database, ana):
    queue(120)
    seen, after = [], None
    for expected in (50, 50, 20):
        page, after = amounts(database, Filters(), ana, after)
        assert len(page) == expected
        seen += page
    assert seen == list(range(120, 0, -1))
    assert after is None


@pytest.mark.parametrize(("given", "matches"), [
    ({"least": "3"}, [5, 4, 3]), ({"most": "2.00"}, [2, 1]),
    ({"type": "TRANSFER"}, [5, 4, 3, 2, 1]),
    ({"type": "PAYMENT"}, []), ({"rule": "night"}, [5, 4, 3, 2, 1]), ({"rule": "%"}, []),
    ({"account": account("C1")}, [5, 4, 3, 2, 1]), ({"account": account("C9")}, []),
    ({"view": "closed"}, []), ({"view": "approve"}, [])])
def test_filters(queue, database, ana, given, matches):
    queue(5, applied=["rule:night"])
    assert amounts(database, parse_filters(given), ana)[0] == matches


@pytest.mark.parametrize("given", [{"view": "nonsense"}, {"least": "much"}])
def test_a_filter_that_cannot_be_used_is_an_error(given):
    with pytest.raises(FormError):
        parse_filters(given)


def test_a_case_is_free_again_after_its_time(queue, database, settings, ana, ben):
    queue(1)
    later = NOW + 16 * 60_000
    with database.writing() as session:
        assert worklist.take(session, settings, ana, 1, NOW)
        assert not worklist.take(session, settings, ben, 1, NOW)
        assert worklist.take(session, settings, ana, 1, NOW)
        assert worklist.take(session, settings, ben, 1, later)
        assert not worklist.give_back(session, ana, 1)
        assert worklist.give_back(session, ben, 1)
        assert worklist.take(session, settings, ana, 1, later)


def test_twenty_people_at_once_take_different_cases(queue, database, settings):
    queue(20)
    with database.writing() as session:
        session.add_all(Person(name=f"p{number}", role="analyst", password_hash="", created_at=0)
                        for number in range(21))

    def take(number: int) -> int | None:
        with database.writing() as session:
            person = by_name(session, f"p{number}")
            return worklist.take_next(session, settings, person, NOW)

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(take, range(21)))
    assert sorted(filter(None, taken)) == list(range(1, 21))


def test_the_load_counts_open_overdue_and_today(queue, database, settings, ana):
    queue(3)
    with database.reading() as session:
        load = worklist.load(session, settings, NOW)
        assert (load.open, load.overdue, load.opened_today, load.decided_today) == (3, 0, 3, 0)
        assert worklist.load(session, settings, NOW + 25 * 3_600_000).overdue == 3
