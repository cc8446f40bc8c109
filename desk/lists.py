"""Lists of accounts, as cases show and change them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from desk import trail
from desk.access import Visit
from desk.forms import FormError, reason_of, whole_number
from desk.people import may
from fraud.clock import DAY_MS, now_ms
from fraud.published import PublishedFolder
from fraud.rules.publication import RulePublisher
from fraud.rules.rule_set import POINTER_FILE, ListEntry, ListName, Side

LISTS: tuple[ListName, ...] = ("deny", "review", "allow")
SIDES: tuple[Side, ...] = ("both", "origin", "destination")
LONGEST_DAYS = 3_650
Choice = TypeVar("Choice", bound=str)


class KnownLists:
    """The entries in force by account, read again when the pointer has changed."""

    def __init__(self, publisher: RulePublisher):
        self.publisher = publisher
        self._pointer: bytes | None = None
        self._entries: dict[str, list[ListEntry]] = {}

    def of_account(self, account: str) -> list[ListEntry]:
        """Return the entries of an account that have not expired.

        Raises:
            RulesError, PublishedError: the rules cannot be read.
        """
        pointer = PublishedFolder(self.publisher.location).read(POINTER_FILE)
        if pointer != self._pointer:
            entries: dict[str, list[ListEntry]] = {}
            rule_set = self.publisher.in_force()
            for entry in rule_set.entries if rule_set else ():
                entries.setdefault(entry.account, []).append(entry)
            self._entries, self._pointer = entries, pointer
        now = now_ms()
        return [entry for entry in self._entries.get(account, ())
                if entry.expires is None or entry.expires > now]

    def find(self, account: str, list_name: str, side: str) -> ListEntry | None:
        """Return the entry of an account on a list and side; None without one.

        Raises:
            RulesError, PublishedError: the rules cannot be read.
        """
        for entry in self.of_account(account):
            if (entry.list, entry.side) == (list_name, side):
                return entry
        return None


def put_on_list(visit: Visit, account: str, case_id: int | None) -> None:
    """Put an account on the list that a form names, with reason, author and expiry.

    Raises:
        FormError: the form is not complete, or the person may not do this.
        RulesError, PublishedError: the rules cannot be published.
    """
    form = visit.form
    name, reason, days = _choice(form, "list", LISTS), reason_of(form), _days(form)
    if name == "allow" and not may(visit.person, "lead"):
        raise FormError("only a lead can allow an account: the model no longer decides about it")
    expires = now_ms() + days * DAY_MS
    entry = ListEntry(account=account, list=name, reason=reason, author=visit.person.name,
                      side=_choice(form, "side", SIDES), expires=expires)
    lists = visit.request.app.ctx.lists
    present = lists.find(account, entry.list, entry.side)
    if name == "deny" and not may(visit.person, "lead") and present and (
            present.expires is None or present.expires > expires):
        raise FormError("the account is on the deny list for longer; only a lead can shorten that")
    version = lists.publisher.put(entry, f"{name} list: {reason}"[:200])
    trail.record(visit.session, visit.person.name, "listed", case_id=case_id, account=account,
                 detail=f"{name} for {days} days: {reason} (rules version {version})")


def take_off_list(visit: Visit, account: str) -> None:
    """Take an account off the list and side that a form names.

    Raises:
        FormError: it is not on that list, or the person may not do this.
        RulesError, PublishedError: the rules cannot be published.
    """
    name, side = visit.form.get("list", ""), visit.form.get("side", "")
    if name == "deny" and not may(visit.person, "lead"):
        raise FormError("only a lead can take an account off the deny list")
    lists = visit.request.app.ctx.lists
    entry = lists.find(account, name, side)
    if entry is None:
        raise FormError(f"the account is not on the {name!r} list for side {side!r}; reload the "
                        "page")
    version = lists.publisher.remove(entry, visit.person.name, f"off the {name} list")
    trail.record(visit.session, visit.person.name, "unlisted", account=account,
                 detail=f"{name} (rules version {version})")


def _choice(form: dict[str, str], field: str, choices: Sequence[Choice]) -> Choice:
    for choice in choices:
        if form.get(field) == choice:
            return choice
    raise FormError(f"the {field} is {form.get(field)!r}; choose {', '.join(choices)}")


def _days(form: dict[str, str]) -> int:
    days = whole_number(form.get("days", ""))
    if days is None or not 1 <= days <= LONGEST_DAYS:
        raise FormError(f"the expiry is {form.get('days')!r}; give 1 to {LONGEST_DAYS:,} days")
    return days
