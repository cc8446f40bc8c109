import xml.etree.ElementTree as xml

import pytest

from fraud import clock
from monitoring import charts

START = 1_704_067_200_000       # 2024-01-01
DAYS = [START + day * clock.DAY_MS for day in range(20)]


def elements(chart: str, tag: str, **attributes: str) -> list[dict]:
    """The attributes of the elements that have these; `kind` is the class."""
    wanted = {name.replace("kind", "class"): value for name, value in attributes.items()}
    return [element.attrib for element in xml.fromstring(chart).iter(tag)
            if wanted.items() <= element.attrib.items()]


def texts(chart: str, kind: str) -> list[str]:
    return [element.text for element in xml.fromstring(chart).iter("text")
            if element.get("class") == kind]


def heights(chart: str, kind: str) -> list[float]:
    """The heights of the bars of a series; the legend's square is the last."""
    return [float(bar["height"]) for bar in elements(chart, "rect", kind=kind)][:-1]


def test_the_axis_has_dates_in_order_and_not_too_many():
    dates = texts(charts.bars(DAYS, {"a": [1.0] * 20}, "A"), "middle")
    assert dates[:2] == ["2024-01-01", "2024-01-04"]
    assert dates == sorted(dates) and len(dates) <= charts.MOST_DATES


def test_a_day_without_payments_keeps_its_place():
    bars = elements(charts.bars([DAYS[0], DAYS[1], DAYS[3]], {"a": [1, 1, 1]}, "A"), "rect",
                    kind="fill0")
    first, second, last = (float(bar["x"]) for bar in bars[:3])
    assert last - second == pytest.approx(2 * (second - first), abs=0.2)


def test_bars_stack_in_proportion_to_their_values():
    chart = charts.bars(DAYS[:2], {"stopped": [100, 50], "missed": [50, 0]}, "Money")
    assert heights(chart, "fill0") == pytest.approx([2 * heights(chart, "fill0")[1],
                                                     heights(chart, "fill1")[0]], abs=0.2)
    assert heights(chart, "fill1")[1] == 0
    [stopped, missed] = (elements(chart, "rect", kind=f"fill{number}")[0] for number in (0, 1))
    assert float(missed["y"]) + float(missed["height"]) == pytest.approx(float(stopped["y"]),
                                                                         abs=0.2)


@pytest.mark.parametrize(("highest", "ticks"), [
    (0, ["0", "1", "2", "3", "4", "5"]), (7, ["0", "2", "4", "6", "8"]),
    (54_000_000, ["0", "20,000,000", "40,000,000", "60,000,000"])])
def test_values_on_the_axis_are_round_and_reach_the_highest(highest, ticks):
    assert texts(charts.bars(DAYS[:1], {"a": [highest]}, "A"), "end") == ticks


def test_a_limit_above_all_bars_is_in_the_chart():
    chart = charts.bars(DAYS[:1], {"a": [1]}, "A", ("budget of 150", 150.0))
    [line, _] = elements(chart, "line", kind="limit")
    assert charts.TOP <= float(line["y1"]) < charts.HEIGHT - charts.BOTTOM
    assert "budget of 150" in chart


def test_a_line_has_a_gap_where_nothing_is_known():
    chart = charts.lines(DAYS[:5], {"a": [0.5, 1.0, None, 0.0, 0.5]}, "A")
    assert len(elements(chart, "line", kind="line0")) == 2
    points = elements(chart, "circle", kind="fill0")
    assert len(points) == 4
    half, whole, nothing = (float(point["cy"]) for point in points[:3])
    assert half == pytest.approx((whole + nothing) / 2, abs=0.2) and whole < half
    assert texts(chart, "end") == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]


def test_a_line_has_a_gap_where_a_day_is_missing():
    chart = charts.lines([DAYS[0], DAYS[1], DAYS[3]], {"a": [0.5, 0.5, 0.5]}, "A")
    assert len(elements(chart, "line", kind="line0")) == 1


def test_a_sparkline_shows_each_value_above_or_below_its_limit():
    chart = charts.sparkline(DAYS[:3], [0.01, 0.02, 0.3], 0.1, ["one", "two", "three"])
    below, _, above = (float(point["cy"]) for point in elements(chart, "circle"))
    [limit] = elements(chart, "line", kind="limit")
    assert above < float(limit["y1"]) < below
    assert [title.text for title in xml.fromstring(chart).iter("title")] == ["one", "two", "three"]


def test_a_sparkline_of_one_window_is_a_point():
    [point] = elements(charts.sparkline(DAYS[:1], [0.0], 0.1, ["one"]), "circle")
    assert 0 <= float(point["cx"]) <= charts.SPARK_WIDTH


def test_names_are_escaped():
    chart = charts.bars(DAYS[:1], {"<a>": [1]}, '"&', ("<b>", 1.0))
    assert xml.fromstring(chart).get("aria-label") == '"&'
    assert "<a>" not in chart and "<b>" not in chart
