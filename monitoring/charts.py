"""Charts as inline SVG, drawn without scripts; the colours are those of `page.STYLE`.

Text and lines take the colour of the surrounding text, so that a chart is readable in light and
dark. The horizontal axis is the time: a day without values keeps its place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from fraud import clock

WIDTH, HEIGHT = 760, 230
LEFT, RIGHT, TOP, BOTTOM = 70, 10, 26, 24        # margins: axis labels, legend, dates
MOST_DATES, STEPS = 8, 5         # on the axes, at most
SPARK_WIDTH, SPARK_HEIGHT, SPARK_MARGIN = 180, 24, 4
Values = Sequence[float | None]         # None: nothing to show


def sparkline(times: Sequence[int], values: Sequence[float], limit: float, titles: Sequence[str]
              ) -> str:
    """Return a line without axes, and a dashed line at a limit.

    Args:
        times: ms since the epoch, in order; values: 0 or more; titles: shown under the pointer.
            All of one length.
    """
    top = max(*values, 1.5 * limit)
    span = max(1, times[-1] - times[0])
    xs = [SPARK_MARGIN + (SPARK_WIDTH - 2 * SPARK_MARGIN) * (time - times[0]) / span
          for time in times]
    ys, limit_y = [_spark_y(value / top) for value in values], _spark_y(limit / top)
    points = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2"><title>{escape(title)}</title>'
                     "</circle>" for x, y, title in zip(xs, ys, titles, strict=True))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    return (f'<svg class="spark" role="img" width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}">'
            f'<line class="limit" x1="0" x2="{SPARK_WIDTH}" y1="{limit_y:.1f}" y2="{limit_y:.1f}"/>'
            f'<polyline points="{path}"/>{points}</svg>')


def bars(days: Sequence[int], series: Mapping[str, Sequence[float]], title: str,
         limit: tuple[str, float] | None = None) -> str:
    """Return stacked bars, one for each day.

    Args:
        days: starts of UTC days, ms since the epoch, in order.
        series: values of each day, 0 or more, by name.
        limit: name and value of a horizontal line.
    """
    totals = [sum(values) for values in zip(*series.values(), strict=True)]
    frame = _Frame(days, max([*totals, limit[1] if limit else 0, STEPS]))     # steps of 1 or more
    base, shapes = [0.0] * len(days), []
    for number, (name, values) in enumerate(series.items()):
        for index, (day, value) in enumerate(zip(days, values, strict=True)):
            low, base[index] = base[index], base[index] + value
            top, height = frame.y(base[index]), frame.y(low) - frame.y(base[index])
            shapes.append(
                f'<rect class="fill{number}" x="{frame.x(day) - frame.bar / 2:.1f}" y="{top:.1f}" '
                f'width="{frame.bar:.1f}" height="{height:.1f}">'
                f"<title>{clock.utc_day(day)}: {value:,.0f} {escape(name)}</title></rect>")
    return frame.chart("".join(shapes), list(series), title, limit)


def lines(days: Sequence[int], series: Mapping[str, Values], title: str) -> str:
    """Return a line of shares, 0 to 1, for each series; a day without a value is a gap.

    Args:
        days: starts of UTC days, ms since the epoch, in order.
        series: values of each day, by name.
    """
    frame, shapes = _Frame(days, 1.0), []
    for number, (name, values) in enumerate(series.items()):
        known = [(day, value) for day, value in zip(days, values, strict=True)
                 if value is not None]
        for (day, value), (next_day, next_value) in zip(known, known[1:], strict=False):
            if next_day - day == clock.DAY_MS:
                shapes.append(f'<line class="line{number}" x1="{frame.x(day):.1f}" '
                              f'y1="{frame.y(value):.1f}" x2="{frame.x(next_day):.1f}" '
                              f'y2="{frame.y(next_value):.1f}"/>')
        shapes += [f'<circle class="fill{number}" cx="{frame.x(day):.1f}" '
                   f'cy="{frame.y(value):.1f}" r="3.5"><title>{clock.utc_day(day)}: {value:.3f} '
                   f"{escape(name)}</title></circle>" for day, value in known]
    return frame.chart("".join(shapes), list(series), title)


class _Frame:
    """The axes of a chart: days from left to right, values from 0 to at least the highest."""

    def __init__(self, days: Sequence[int], highest: float):
        self._first = days[0]
        self._count = (days[-1] - days[0]) // clock.DAY_MS + 1
        power = 10 ** math.floor(math.log10(highest / STEPS))
        self._step = next(power * factor for factor in (1, 2, 5, 10)
                          if highest <= STEPS * power * factor)
        self._top = self._step * math.ceil(highest / self._step)
        self.bar = 0.7 * (WIDTH - LEFT - RIGHT) / self._count

    def x(self, day: int) -> float:
        """Return the middle of a day."""
        index = (day - self._first) / clock.DAY_MS
        return LEFT + (WIDTH - LEFT - RIGHT) * (index + 0.5) / self._count

    def y(self, value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / self._top)

    def chart(self, shapes: str, names: Sequence[str], title: str,
              limit: tuple[str, float] | None = None) -> str:
        """Return the whole chart: axes, shapes, legend and limit."""
        parts = [self._values(), self._dates(), shapes]
        if limit:
            parts.append(f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" '
                         f'y1="{self.y(limit[1]):.1f}" y2="{self.y(limit[1]):.1f}"/>')
        legend, left = [], LEFT
        for number, name in enumerate(names):
            legend.append(f'<rect class="fill{number}" x="{left}" y="5" width="11" height="11"/>'
                          f'<text x="{left + 16}" y="15">{escape(name)}</text>')
            left += 34 + 7 * len(name)
        if limit:
            legend.append(f'<line class="limit" x1="{left}" x2="{left + 16}" y1="11" y2="11"/>'
                          f'<text x="{left + 21}" y="15">{escape(limit[0])}</text>')
        return (f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" '
                f'aria-label="{escape(title)}">{"".join([*parts, *legend])}</svg>')

    def _values(self) -> str:
        digits = max(0, -math.floor(math.log10(self._step) + 1e-9))
        ticks = [self._step * index for index in range(round(self._top / self._step) + 1)]
        return "".join(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.y(tick):.1f}" '
            f'y2="{self.y(tick):.1f}"/><text class="end" x="{LEFT - 6}" '
            f'y="{self.y(tick) + 4:.1f}">{tick:,.{digits}f}</text>' for tick in ticks)

    def _dates(self) -> str:
        every = math.ceil(self._count / MOST_DATES)
        days = [self._first + index * clock.DAY_MS for index in range(0, self._count, every)]
        return "".join(f'<text class="middle" x="{self.x(day):.1f}" y="{HEIGHT - 6}">'
                       f"{clock.utc_day(day)}</text>" for day in days)


def _spark_y(share: float) -> float:
    return SPARK_HEIGHT - SPARK_MARGIN - (SPARK_HEIGHT - 2 * SPARK_MARGIN) * share
