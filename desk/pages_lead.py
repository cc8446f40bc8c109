"""Pages of leads and admins: figures, thresholds, the trail, and people."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from sanic import Blueprint, HTTPResponse
from sanic.response import raw
from sqlalchemy import select

from desk import drawing, figures, people, trail, what_if
from desk.access import Refusal, Visit, action, page, to
from desk.forms import reason_of, whole_number
from desk.tables import ROLES, Person, TrailEntry
from fraud.bundle import Policy
from fraud.clock import DAY_MS, now_ms
from fraud.errors import FraudError

blueprint = Blueprint("lead")
TRAIL = 200             # entries that are shown


@page(blueprint, "/look", role="lead")
def look(visit: Visit) -> HTTPResponse:
    """Show the figures."""
    now = now_ms()
    since = now - figures.DAYS * DAY_MS
    days = figures.queue_days(visit.session, now)
    names = [day.day for day in days]
    pairs, largest = figures.disagreements(visit.session, since)
    hits, total = (sum(day.fraud for day in days),
                   sum(day.fraud + day.legitimate for day in days))
    return visit.show(
        "look.html", days=days, precision=figures.wilson(hits, total), pairs=pairs,
        largest=largest, labels=figures.labels_by_person(visit.session, since),
        money=figures.money(visit.session, since),
        ages=figures.backlog_by_age(visit.session, now), **_thresholds(visit),
        charts=[
            drawing.bar_chart("Reviews opened a day", names, [day.opened for day in days]),
            drawing.bar_chart("Open at the end of the day", names, [day.backlog for day in days]),
            drawing.bar_chart("Share of frauds among decided reviews", names,
                              [day.precision for day in days]),
            drawing.bar_chart("Median hours to a decision", names, [day.hours for day in days],
                              " h")])


@page(blueprint, "/look/what-if", role="lead")
def try_thresholds(visit: Visit) -> HTTPResponse:
    """Show the effect of the sliders' thresholds on logged payments."""
    return visit.show("part_what_if.html", **_thresholds(visit))


def _thresholds(visit: Visit) -> dict[str, Any]:
    try:
        policy = what_if.champion_policy(visit.settings.model)
    except FraudError as error:
        return {"policy": None, "problem": str(error)}
    thresholds = what_if.chosen(visit.query, policy.model)
    context = visit.request.app.ctx
    if not what_if.is_fresh(context.logged_payments):
        context.logged_payments = what_if.load_payments(visit.session)
    return {"policy": policy, "problem": "", "steps": what_if.steps(thresholds),
            "most_steps": what_if.STEPS, "now_in_force": what_if.try_thresholds(
                context.logged_payments, policy.model),
            "tried": what_if.try_thresholds(context.logged_payments, thresholds),
            "has_registry": what_if.has_registry()}


@page(blueprint, "/look/policy.json", role="lead")
def policy_file(visit: Visit) -> HTTPResponse:
    """Give the policy of the sliders as a file, for `registry policy`."""
    policy = what_if.champion_policy(visit.settings.model)
    changed = what_if.next_policy(policy, what_if.chosen(visit.query, policy.model))
    return raw(msgspec.json.format(msgspec.json.encode(changed), indent=2),
               content_type="application/json",
               headers={"Content-Disposition": 'attachment; filename="policy.json"'})


@action(blueprint, "/look/publish", role="lead")
def publish(visit: Visit) -> HTTPResponse:
    """Publish the thresholds of the sliders by `registry policy`."""
    reason = reason_of(visit.form)
    policy = what_if.champion_policy(visit.settings.model)
    thresholds = what_if.chosen(visit.form, policy.model)
    changed = what_if.next_policy(policy, thresholds)
    trail.record(visit.session, visit.person.name, "thresholds",
                 detail=f"review {thresholds.review:g}, decline {thresholds.decline:g}, version "
                        f"{changed.version}: {reason}")
    # The command takes seconds, in which nobody else could write.
    visit.afterwards.append(partial(_run_registry, visit, changed, reason))
    return to("/look")


def _run_registry(visit: Visit, policy: Policy, reason: str) -> None:
    try:
        what_if.publish(policy, visit.person.name, reason)
    except FraudError as error:
        with visit.request.app.ctx.database.writing() as session:
            trail.record(session, visit.person.name, "thresholds-failed",
                         detail=f"version {policy.version}: {error}"[:500])
        raise


@page(blueprint, "/trail", role="lead")
def show_trail(visit: Visit) -> HTTPResponse:
    """Show the last actions."""
    query = select(TrailEntry).order_by(TrailEntry.id.desc()).limit(TRAIL)
    if text := visit.query.get("before", ""):
        before = whole_number(text)
        if before is None:
            raise Refusal(400, "There is no such page of the trail.")
        query = query.where(TrailEntry.id < before)
    return visit.show("trail.html", entries=visit.session.scalars(query).all(), most=TRAIL)


@page(blueprint, "/people", role="admin")
def people_page(visit: Visit) -> HTTPResponse:
    """Show the people."""
    return _people(visit)


def _people(visit: Visit, message: str = "") -> HTTPResponse:
    everyone = visit.session.scalars(select(Person).order_by(Person.name)).all()
    return visit.show("people.html", everyone=everyone, roles=ROLES, message=message)


@action(blueprint, "/people", role="admin")
def add_person(visit: Visit) -> HTTPResponse:
    """Add a person, and show the password once."""
    name = visit.form.get("name", "").strip()
    password = people.add(visit.session, name, visit.form.get("role", ""), visit.person.name)
    return _people(visit, f"{name} signs in with the password {password}. It is not shown again.")


@action(blueprint, "/people/<person_id:int>", role="admin")
def change_person(visit: Visit, person_id: int) -> HTTPResponse:
    """Change the role of a person, disable or enable one, or give one a new password."""
    person = visit.session.get(Person, person_id)
    if person is None:
        raise Refusal(404, "There is no such person.")
    match visit.form.get("change", ""):
        case "password":
            password = people.new_password(visit.session, person, visit.person.name)
            return _people(visit, f"{person.name} signs in with the password {password}. It is not "
                                  "shown again.")
        case "role":
            people.change(visit.session, person, visit.person.name, role=visit.form.get("role"))
        case "disable" | "enable" as change:
            people.change(visit.session, person, visit.person.name, disabled=change == "disable")
        case other:
            raise Refusal(400, f"There is no change {other!r}.")
    return to("/people")
