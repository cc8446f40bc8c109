"""Lists of accounts, as cases show and change them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from desk import trail
from desk.access import Visit
from desk.people import may
from fraud.clock import DAY_MS, now_ms
from fraud.published import PublishedFolder
from fraud.rules.publication import RulePublisher
from fraud.rules.rule_set import POINTER_FILE, ListEntry, ListName, RulesError, Side

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


def put_on_list(visit: Visit, account: str, case_id: int | None) -> None:
    """Put an account on the list that a form names, with reason, author and expiry.

    Raises:
        RulesError: the form is not complete, or the rules cannot be published.
    """
    form = visit.form
    name, reason = _choice(form, "list", LISTS), form.get("reason", "").strip()
    if name == "allow" and not may(visit.person, "lead"):
        raise RulesError("only a lead can allow an account: the model no longer decides about it")
    if not 1 <= len(reason) <= 200:
        raise RulesError("the reason is missing or too long; write 1 to 200 characters")
    entry = ListEntry(account=account, list=name, reason=reason, author=visit.person.name,
                      side=_choice(form, "side", SIDES), expires=now_ms() + _days(form) * DAY_MS)
    version = visit.request.app.ctx.lists.publisher.put(
        entry, f"{name} list, {visit.person.name}: {reason}"[:200])
    trail.record(visit.session, visit.person.name, "listed", case_id=case_id, account=account,
                 detail=f"{name} for {_days(form)} days: {reason} (rules version {version})")


def take_off_list(visit: Visit, account: str) -> None:
    """Take an account off the list and side that a form names.

    Raises:
        RulesError: it is not on that list, or the rules cannot be published.
    """
    name, side = visit.form.get("list", ""), visit.form.get("side", "")
    if name == "deny" and not may(visit.person, "lead"):
        raise RulesError("only a lead can take an account off the deny list")
    lists = visit.request.app.ctx.lists
    for entry in lists.of_account(account):
        if (entry.list, entry.side) == (name, side):
            version = lists.publisher.remove(
                entry, visit.person.name, f"off the {name} list, {visit.person.name}"[:200])
            trail.record(visit.session, visit.person.name, "unlisted", account=account,
                         detail=f"{name} (rules version {version})")
            return
    raise RulesError(f"the account is not on the {name!r} list for side {side!r}; reload the page")


def _choice(form: dict[str, str], field: str, choices: Sequence[Choice]) -> Choice:
    for choice in choices:
        if form.get(field) == choice:
            return choice
    raise RulesError(f"the {field} is {form.get(field)!r}; choose {', '.join(choices)}")


def _days(form: dict[str, str]) -> int:
    text = form.get("days", "")
    if not text.isdecimal() or not 1 <= int(text) <= LONGEST_DAYS:
        raise RulesError(f"the expiry is {text!r}; give 1 to {LONGEST_DAYS:,} days")
    return int(text)
