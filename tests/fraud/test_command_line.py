"""One way to run every command."""

import pytest

from fraud.command_line import command, parser
from fraud.errors import FraudError


class Refused(FraudError):
    """A user-fixable error."""


def outcome_of(function, *arguments):
    with pytest.raises(SystemExit) as exit_:
        command(function)(*arguments)
    return exit_.value.code


def test_a_user_error_prints_one_sentence_and_exits_2(capsys):
    def main(arguments):
        raise Refused("--rows is 0: give at least 1")

    assert outcome_of(main) == 2
    assert capsys.readouterr() == ("", "error: --rows is 0: give at least 1\n")


def test_a_defect_is_not_hidden():
    def main(arguments):
        raise KeyError("defect")

    with pytest.raises(KeyError):
        command(main)()


def test_a_nonzero_code_is_the_exit_code():
    assert outcome_of(lambda arguments: 3) == 3


@pytest.mark.parametrize("code", [None, 0])
def test_success_returns(code):
    assert command(lambda arguments: code)() is None


def test_ctrl_c_ends_without_a_traceback(capsys):
    def main(arguments):
        raise KeyboardInterrupt

    assert outcome_of(main) == 130
    assert capsys.readouterr() == ("", "")


def test_arguments_reach_the_function():
    assert outcome_of(lambda arguments: len(arguments), ["a", "b"]) == 2


def test_help_shows_the_docstring_unchanged(capsys):
    with pytest.raises(SystemExit):
        parser("python -m tool", "Line one.\n\n    python -m tool --x\n").parse_args(["--help"])
    assert "Line one.\n\n    python -m tool --x\n" in capsys.readouterr().out
