"""The list of modules for mutation testing leads to files."""

import pytest

from tests.mutation.modules import MODULES, mirror
from tests.tools import ROOT


@pytest.mark.parametrize("module", MODULES)
def test_a_module_and_its_tests_exist(module):
    assert (ROOT / module).exists()
    tests = [mirror(module), *MODULES[module]]
    assert any((ROOT / file).exists() for file in tests)
    assert all((ROOT / file).exists() for file in MODULES[module])


def test_a_mirror_is_next_to_the_tests_of_its_package():
    assert mirror("fraud/bundle/policy.py") == "tests/fraud/bundle/test_policy.py"
