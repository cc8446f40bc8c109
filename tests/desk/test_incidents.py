"""An incident is open cases that share accounts within a time."""

from desk.incidents import BUSY_ACCOUNT, incident_of
from desk.tables import Case
from tests.desk.running import NOW, account, decision, write_log

HOUR = 3_600_000


def incident(tmp_path, intake, database, settings, *payments) -> set[str]:
    """The payments of the incident of the first one."""
    write_log(tmp_path / "decisions.jsonl", *payments)
    intake.read()
    with database.reading() as session:
        return {case.transaction_id
                for case in incident_of(session, settings, session.get(Case, 1))}


def between(transaction_id: str, origin: str, destination: str | None, hours: float = 0, **changes):
    return decision(transaction_id, origin=account(origin), event_time=NOW + int(hours * HOUR),
                    destination=destination and account(destination), **changes)


def test_cases_that_share_accounts_are_one_incident(tmp_path, intake, database, settings):
    assert incident(
        tmp_path, intake, database, settings,
        between("theft", "victim", "mule"), between("cash-out", "mule", None, 1),
        between("onward", "mule", "second", 2), between("further", "second", "third", 3),
        between("other", "x", "y"), between("late", "victim", "z", 25),
        between("approved", "victim", "z", decision="approve"),
    ) == {"cash-out", "onward", "further"}


def test_a_busy_account_does_not_bind_cases(tmp_path, intake, database, settings):
    merchant = [between(f"m-{number}", f"c-{number}", "shop") for number in range(BUSY_ACCOUNT + 1)]
    assert incident(tmp_path, intake, database, settings, *merchant,
                    between("same-sender", "c-0", "other")) == {"same-sender"}
