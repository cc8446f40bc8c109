from dataclasses import fields

import pytest

from fraud.training.errors import TrainingError
from fraud.training.simulate.behaviour import DEFAULT, MEANINGS, Behaviour


@pytest.mark.parametrize(("name", "share"), [("linked", 1.01), ("reused_mules", -0.1),
                                             ("arrivals", float("nan"))])
def test_a_share_lies_between_0_and_1(name, share):
    with pytest.raises(TrainingError, match=f"--{name.replace('_', '-')} is {share}: give"):
        Behaviour(**{name: share})


def test_each_share_has_a_meaning():
    assert set(MEANINGS) == {share.name for share in fields(DEFAULT)}
    assert all(MEANINGS.values())
