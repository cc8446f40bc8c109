"""Pictures hold every number they are given."""

from hypothesis import given, strategies as st

from desk import drawing
from desk.accounts import MoneyFlow

names = st.text("abcdef", min_size=1, max_size=2)
flows = st.lists(st.builds(MoneyFlow, names, names, st.integers(0, 10**12), st.integers(1, 9),
                           st.booleans()), max_size=30,
                 unique_by=lambda flow: (flow.origin, flow.destination))


def test_the_highest_bar_has_the_highest_value():
    chart = drawing.bar_chart("title", ["a", "b", "c"], [1, None, 4])
    assert [bar.text for bar in chart.bars] == ["a: 1", "c: 4"]
    assert chart.bars[1].height == 4 * chart.bars[0].height
    assert all(bar.y + bar.height == chart.base for bar in chart.bars)


def test_a_chart_without_values_is_empty():
    assert drawing.bar_chart("title", [], []).bars == []


@given(flows, st.sets(names, min_size=1, max_size=2))
def test_a_network_is_inside_its_picture_and_says_how_much_is_hidden(flows, centre):
    network = drawing.network(flows, centre)
    assert len({node.account for node in network.nodes}) == len(network.nodes)
    assert {node.account for node in network.nodes if node.hops == 0} == centre
    assert all(0 <= node.x <= network.size and 0 <= node.y <= network.size
               for node in network.nodes)
    assert len(network.arrows) + network.hidden == len(flows)
