"""The shape of the code that linters do not check: words of docstrings, names, sizes."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.tools import ROOT

PROGRAMS = ("bench", "desk", "docs", "flows", "fraud", "monitoring", "notebooks", "serve", "stream")
FILES = sorted(path for name in PROGRAMS for path in (ROOT / name).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MOST_LINES = 250
QUESTIONS = {"How", "What", "When", "Where", "Whether", "Which", "Who", "Whose", "Why"}
VAGUE = {"its", "one", "told"}      # names of variables that say nothing

names = {"ids": lambda path: path.relative_to(ROOT).as_posix()}
each_file = pytest.mark.parametrize("path", FILES, **names)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@pytest.mark.parametrize("path", [*FILES, *TESTS], **names)
def test_no_docstring_begins_as_a_question(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            words = (ast.get_docstring(node) or "-").split()
            assert words[0] not in QUESTIONS, getattr(node, "name", "the module")


@each_file
def test_no_variable_has_a_vague_name(path):
    bound = {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)} | {
        node.arg for node in ast.walk(tree(path)) if isinstance(node, ast.arg)}
    assert not bound & VAGUE


@each_file
def test_no_file_is_long(path):
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_no_name_of_a_class_is_used_twice():
    classes = Counter(node.name for path in FILES for node in ast.walk(tree(path))
                      if isinstance(node, ast.ClassDef))
    assert [name for name, count in classes.items() if count > 1] == []
