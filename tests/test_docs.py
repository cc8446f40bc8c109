"""The documents agree with the code: settings, commands, metrics, links, figures."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from desk.settings import DeskSettings
from docs import generate_reference
from fraud.settings import Settings
from fraud.training.simulate.behaviour import MEANINGS
from serve.settings import ServeSettings
from stream.settings import StreamSettings, WebhookSettings
from tests.tools import ROOT

PROGRAMS = ("desk", "flows", "fraud", "serve", "stream", "monitoring", "bench", "docs")
FOLDERS = (*PROGRAMS, "k8s", "sam", "tests", "notebooks", ".github")
DOCUMENTS = sorted({*ROOT.glob("*.md"), *(     # the changelog has former names
    path for name in FOLDERS for path in (ROOT / name).rglob("*.md"))} - {ROOT / "CHANGELOG.md"})
REFERENCE = ROOT / "docs/reference.md"
FILES = tuple(ROOT / name for name in (
    "flows/train_flow.toml", "monitoring/report.toml", "monitoring/retraining.toml"))
OF_METAFLOW = {"--with", "--config", "--tag"}       # of any flow; the rest are parameters of ours
OF_OTHERS = {"--parameter-overrides"}               # of sam


# The code.

@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for name in PROGRAMS
            for path in sorted((ROOT / name).rglob("*.py")) if "rivals" not in path.parts}


def constants() -> dict[str, str]:
    """The texts that modules have given a name in capitals."""
    return {target.id: node.value.value for tree in trees().values() for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
            for target in node.targets if isinstance(target, ast.Name) and target.id.isupper()}


def read_from_environment() -> set[str]:
    """Variables that code names where it reads or sets the environment."""
    named, found = constants(), set()
    for node in (node for tree in trees().values() for node in ast.walk(tree)):
        match node:
            case ast.Call(func=ast.Attribute(value=where, attr="get" | "setdefault"),
                          args=[ast.Constant() | ast.Name() as key, *_]):
                pass
            case ast.Subscript(value=where, slice=ast.Constant() | ast.Name() as key):
                pass
            case _:
                continue
        if ast.unparse(where).rpartition(".")[2] in ("environ", "environment"):
            name = key.value if isinstance(key, ast.Constant) else named.get(key.id, "")
            found |= {name} & {name.upper()} - {"", "PATH"}
    return found


def settings() -> dict[str, object]:
    """Each field of a settings type as a variable, and its default."""
    return {f"FRAUD_{field.upper()}": getattr(kind(), field)
            for kind in (Settings, ServeSettings, StreamSettings, WebhookSettings,
                         DeskSettings)
            for field in kind.__struct_fields__}


def options(path: Path) -> set[str]:
    """The options of a command: what its parser is stated, or of a flow its parameters."""
    found = {"--help"}
    if "add_flags(" in ast.unparse(trees()[path]) and path.name != "options.py":
        found |= options(ROOT / "fraud/training/data/options.py")
    if path == ROOT / "fraud/training/simulate/__main__.py":     # an option for each behaviour
        found |= {f"--{name.replace('_', '-')}" for name in MEANINGS}
    for node in ast.walk(trees()[path]):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name, called = node.args[0].value, ast.unparse(node.func).rpartition(".")[2]
            if called == "add_argument" and name.startswith("--"):
                found.add(name)
            if called == "Parameter":
                found |= {f"--{name}"} | OF_METAFLOW
    return found


def is_command(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
               for node in tree.body)


def commands() -> dict[str, Path]:
    """Every program that can be started, as a document writes it."""
    scripts = {"flows/train_flow.py", "stream/producer.py", "docs/generate_reference.py"}
    found = {}
    for path, tree in trees().items():
        name = path.relative_to(ROOT).as_posix()
        if is_command(tree):
            module = name.removesuffix(".py").replace("/", ".").removesuffix(".__main__")
            found[name if name in scripts else f"-m {module}"] = path
    return found


def metrics() -> set[str]:
    """The names of all metrics."""
    return {in_code(row[0])[0] for row in rows(REFERENCE, "Metrics") if in_code(row[0])}


def targets() -> dict[str, str]:
    """The Makefile's targets that users call, with their text in `make help`."""
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"\.PHONY: (.*?[^\\])\n", makefile, re.DOTALL)[1].replace("\\", "").split()
    stated = dict(re.findall(r"^([a-z-]+):.*?## (.*)$", makefile, re.MULTILINE))
    return {name: stated.get(name, "") for name in phony if name != "java"}


# The documents.

@cache
def text(path: Path) -> str:
    return path.read_text()


def prose(path: Path) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", text(path), flags=re.DOTALL | re.MULTILINE)


def rows(path: Path, heading: str) -> Iterator[list[str]]:
    """The cells of the tables under a heading of the second level."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text(path),
                        re.DOTALL | re.MULTILINE)[1]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if cells and not set(cells[0]) <= set("-"):
            yield cells


def in_code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def command_lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each call of one of our programs, in blocks and in sentences, with its options."""
    joined = re.sub(r"\\\n\s*", " ", text(path))
    for found in re.finditer(r"python3? (-m (?:fraud|serve|stream|monitoring|bench|desk)[\w.]*|"
                             r"[\w/]+\.py)([^`\n]*)", joined):
        words = re.split(r"\s{2,}[a-z]|[;|>&]", found[2])[0]
        yield found[1].rstrip("."), re.findall(r"(?<!\S)\[?(--[\w-]+)", words)


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(next(name for name in (slug, *(f"{slug}-{n}" for n in range(1, 99)))
                       if name not in found))
    return found


ids = {"ids": lambda path: path.relative_to(ROOT).as_posix()}
each_document = pytest.mark.parametrize("path", DOCUMENTS, **ids)


def test_every_variable_of_the_code_is_in_the_reference_and_no_other():
    stated = {name for row in rows(REFERENCE, "Settings") for name in in_code(row[0])}
    mentioned = set(in_code(text(REFERENCE).partition("## Commands")[0]))
    assert read_from_environment() | settings().keys() <= mentioned
    others = "".join(text(ROOT / name) for name in ("Makefile", "tests/conftest.py"))
    assert {name for name in stated if name not in others} <= (
        read_from_environment() | settings().keys())


def test_the_tables_of_the_reference_are_generated_from_the_code():
    page = text(REFERENCE)
    assert generate_reference.page(page) == page, "run make reference"
    assert set(re.findall("<!-- (.+?) -->", page)) - {"end"} == generate_reference.tables().keys()


@each_document
def test_a_variable_that_a_document_names_exists(path):
    known = read_from_environment() | settings().keys()
    others = "".join(text(ROOT / name) for name in ("Makefile", "tests/conftest.py"))
    for name in re.findall(r"\bFRAUD_[A-Z_]*[A-Z]\b", text(path)):
        assert name in known or name in others, name


def test_every_command_is_in_the_reference_and_no_other():
    stated = {call.removeprefix("python ").removesuffix(" run")
              for row in rows(REFERENCE, "Commands") for call in in_code(row[0])
              if call.startswith("python")}
    assert stated == commands().keys()


@each_document
def test_a_command_that_a_document_writes_exists_with_its_options(path):
    for command, given in command_lines(path):
        assert command in commands(), command
        assert set(given) <= options(commands()[command]), (command, given)


@each_document
def test_an_option_that_a_sentence_names_is_one_of_some_command(path):
    known = OF_OTHERS.union(*map(options, commands().values()))
    for code in in_code(prose(path)):
        assert code[:2] != "--" or re.match(r"--[\w-]+", code)[0] in known, code


def test_every_target_is_in_the_reference_and_in_make_help():
    stated = {call.removeprefix("make ") for row in rows(REFERENCE, "Commands")
              for call in in_code(row[0]) if call.startswith("make ")}
    assert stated == targets().keys()
    assert all(targets().values())


@each_document
def test_a_target_that_a_document_names_exists(path):
    calls = re.findall(r"(?:^    |`|^)make ([a-z-]+)", text(path), re.MULTILINE)
    assert set(calls) <= targets().keys()


@each_document
def test_a_metric_that_a_document_names_exists(path):
    columns = {"fraud_type", "fraud_share"}
    for name in re.findall(r"`(fraud_\w+)", text(path)):
        assert name in metrics() | columns, name


@each_document
def test_links_lead_to_files_and_headings(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        place = (path.parent / file).resolve() if file else path
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


def test_the_tree_of_the_readme_names_files_that_are_there():
    block = re.search(r"^## What is where\n\n(.*?)^## ", text(ROOT / "README.md"),
                      re.DOTALL | re.MULTILINE)[1]
    folders: list[str] = []
    for line in block.splitlines():
        if not line.strip():
            continue
        depth = (len(line) - len(line.lstrip())) // 2 - 2
        for name in re.split(r"\s{2,}", line.strip())[0].split(", "):
            assert ROOT.joinpath(*folders[:depth], name).exists(), name
        folders[depth:] = [name]


@each_document
def test_settings_that_a_document_quotes_from_a_file_are_in_it(path):
    files = [tomllib.loads(text(file)) for file in FILES]
    for table, key, value in re.findall(r"`\[(\w+)\] (\w+) = ([^`]+)`", text(path)):
        values = [file[table][key] for file in files if key in file.get(table, {})]
        assert tomllib.loads(f"value = {value}")["value"] in values, (table, key)


def test_figures_of_the_gate_in_the_text_are_those_of_its_settings():
    gate = tomllib.loads(text(FILES[0]))["gate"]
    stated = " ".join(text(ROOT / "docs/training.md").split())
    assert f"exceed -{gate['margin']} on at least {gate['incidents']} incidents" in stated


def test_a_file_that_a_document_names_is_there():
    for path in DOCUMENTS:
        for name in in_code(prose(path)):
            if re.fullmatch(r"[\w.-]+(/[\w.-]+)+/?", name) and name.split("/")[0] in FOLDERS:
                assert (ROOT / name).exists(), (path.name, name)
