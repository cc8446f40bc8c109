"""Geometry of pictures: a template draws them as SVG, with a table of the same numbers below.

Colours and lines are classes of the style sheet, since the page allows no styles of elements.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from desk.accounts import MoneyFlow, Movement

CHART = (360, 130)              # width and height, in units of the picture
TIMELINE = (900, 130)
MARGIN = 24
SIZE = 480                      # of the picture of money
RINGS = (70, 140, 205)          # radii: the accounts of the case, one hop, two hops
MOST_FLOWS = 40


@dataclass(frozen=True)
class Bar:
    """A rectangle, with the text that a pointer or a screen reader gets."""

    x: float
    y: float
    width: float
    height: float
    kind: str                   # a class of the style sheet
    text: str


@dataclass(frozen=True)
class Picture:
    """Bars, and the line they stand on."""

    title: str
    bars: list[Bar]
    base: float
    size: tuple[int, int]
    first: str = ""             # labels of both ends of the axis, and of the highest bar
    last: str = ""
    most: str = ""


@dataclass(frozen=True)
class Node:
    """An account in the picture of money."""

    x: float
    y: float
    account: str
    hops: int


@dataclass(frozen=True)
class Arrow:
    """Money between two accounts."""

    x1: float
    y1: float
    x2: float
    y2: float
    width: float
    flow: MoneyFlow


@dataclass(frozen=True)
class Network:
    """The picture of money around accounts."""

    nodes: list[Node]
    arrows: list[Arrow]
    hidden: int                 # flows that are left out, the smallest
    size: int = SIZE


def bar_chart(title: str, labels: Sequence[str], values: Sequence[float | None],
              unit: str = "") -> Picture:
    """Return a bar for each value; None has no bar."""
    most = max((value for value in values if value is not None), default=0) or 1
    step = (CHART[0] - 2 * MARGIN) / max(len(values), 1)
    base = CHART[1] - MARGIN
    bars = []
    for index, (label, value) in enumerate(zip(labels, values, strict=True)):
        if value is None:
            continue
        height = (base - MARGIN) * value / most
        bars.append(Bar(round(MARGIN + index * step, 1), round(base - height, 1),
                        round(max(step - 2, 1), 1), round(max(height, 0.5), 1), "bar",
                        f"{label}: {value:,.4g}{unit}"))
    return Picture(title, bars, base, CHART, labels[0] if labels else "",
                   labels[-1] if labels else "", f"{most:,.4g}{unit}" if bars else "")


def timeline(title: str, movements: Sequence[Movement], marked: str = "") -> Picture:
    """Return payments in time, received ones above the line and sent ones below.

    The height is the logarithm of the amount.

    Args:
        marked: the transaction_id of the payment that is looked at.
    """
    times = [movement.payment.event_time for movement in movements]
    first, last = min(times, default=0), max(times, default=0)
    most = max((_log(movement.payment.amount_cents) for movement in movements), default=1) or 1
    base, half = TIMELINE[1] / 2, TIMELINE[1] / 2 - 4
    bars = []
    for movement in movements:
        payment = movement.payment
        height = max(half * _log(payment.amount_cents) / most, 2)
        share = (payment.event_time - first) / (last - first) if last > first else 0.5
        kinds = [payment.decision]
        if payment.transaction_id == marked:
            kinds.append("marked")
        bars.append(Bar(
            round(MARGIN + share * (TIMELINE[0] - 2 * MARGIN) - 2, 1),
            round(base if movement.is_sent else base - height, 1), 4, round(height, 1),
            " ".join(kinds),
            f"{'sent' if movement.is_sent else 'received'} {payment.amount_cents / 100:,.2f}, "
            f"{payment.decision}"))
    return Picture(title, bars, base, TIMELINE)


def _log(cents: int) -> float:
    return math.log10(1 + max(cents, 0))


def network(flows: Sequence[MoneyFlow], centre: Collection[str]) -> Network:
    """Place accounts on rings by their hops, each next to the account that leads to it.

    Args:
        centre: the accounts of the case, one or two.
    """
    shown = sorted(flows, key=lambda flow: (
        not {flow.origin, flow.destination} & set(centre), -flow.cents))[:MOST_FLOWS]
    places = {account: _polar(math.pi * (1 - index), RINGS[0] if len(centre) > 1 else 0)
              for index, account in enumerate(sorted(centre))}
    nodes = [Node(*places[account], account, 0) for account in sorted(centre)]
    for hops in (1, 2):
        fresh = _neighbours(shown, places)
        parents = sorted(fresh, key=lambda account: (_angle(places[fresh[account]]), account))
        for index, account in enumerate(parents):
            places[account] = _polar(2 * math.pi * (index + 0.5) / len(parents) - math.pi,
                                     RINGS[hops])
            nodes.append(Node(*places[account], account, hops))
    most = max((_log(flow.cents) for flow in shown), default=1) or 1
    arrows = [_arrow(flow, places, most) for flow in shown
              if flow.origin in places and flow.destination in places
              and flow.origin != flow.destination]
    return Network(nodes, arrows, len(flows) - len(arrows))


def _neighbours(flows: Sequence[MoneyFlow],
                places: dict[str, tuple[float, float]]) -> dict[str, str]:
    """Return accounts without a place next to those with one: the account that leads to each."""
    fresh: dict[str, str] = {}
    for flow in flows:
        if flow.origin in places and flow.destination not in places:
            fresh.setdefault(flow.destination, flow.origin)
        if flow.destination in places and flow.origin not in places:
            fresh.setdefault(flow.origin, flow.destination)
    return fresh


def _polar(angle: float, radius: float) -> tuple[float, float]:
    return (round(SIZE / 2 + radius * math.cos(angle), 1),
            round(SIZE / 2 + radius * math.sin(angle), 1))


def _angle(place: tuple[float, float]) -> float:
    return math.atan2(place[1] - SIZE / 2, place[0] - SIZE / 2)


def _arrow(flow: MoneyFlow, places: dict[str, tuple[float, float]], most: float) -> Arrow:
    """Return an arrow that ends at the rim of both circles."""
    (x1, y1), (x2, y2) = places[flow.origin], places[flow.destination]
    length = math.hypot(x2 - x1, y2 - y1) or 1
    dx, dy = (x2 - x1) / length, (y2 - y1) / length
    return Arrow(round(x1 + 10 * dx, 1), round(y1 + 10 * dy, 1), round(x2 - 14 * dx, 1),
                 round(y2 - 14 * dy, 1), round(1 + 4 * _log(flow.cents) / most, 1), flow)
