"""Imports run one way, and the serving programs stay light. `ast` reads imports from the source."""

import ast
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A module of `fraud` imports only modules of earlier layers, and its own package.
LAYERS = (
    {"errors", "caller", "clock", "packing", "wording"},
    {"command_line", "published"},
    {"transaction", "settings", "change_history"},
    {"windows", "brokers", "labels", "pseudonym", "webhooks"},
    {"history"},
    {"feature_inputs", "topics"},
    {"feature_definitions"},
    {"features"},
    {"reasons"},
    {"bundle", "stores"},
    {"champion", "inference", "rules"},
    {"pending"},
    {"canary", "shadow"},
    {"decision"},
    {"scorer"},
    {"logs", "metrics", "training"},
    {"label_recorder"},
    {"service"},
)
# The same holds inside `fraud.training`.
TRAINING_LAYERS = (
    {"errors", "quiet"},
    {"settings", "java", "files", "workspace"},
    {"decision_log", "label_table", "pseudonym"},
    {"data"},
    {"simulate"},
    {"acquire", "features"},
    {"evaluation"},
    {"models"},
    {"registry", "leakage"},
    {"promotion"},
    {"reports", "parity"},
    {"stages", "steps", "warm", "forget", "replay"},
)


def numbered(layers: tuple[set[str], ...]) -> dict[str, int]:
    """The number of each module's layer."""
    return {name: layer for layer, names in enumerate(layers) for name in names}


LAYER_OF = numbered(LAYERS)
TRAINING_LAYER_OF = numbered(TRAINING_LAYERS)

PROGRAMS = {"flows", "serve", "stream", "monitoring", "desk"}
FOLDERS = PROGRAMS | {"fraud", "notebooks", "bench", "tests"}
USE_TRAINING = {"flows", "notebooks", "monitoring", "bench"}

HEAVY = {"pyspark", "tensorflow", "xgboost", "mlflow", "pandas", "pyarrow", "sklearn", "metaflow",
         "optuna"}


# The checker.

def violations(sources: dict[str, str]) -> list[str]:
    """Return the violations as sentences. `sources` maps paths to Python texts."""
    without_layer = [f"{path} is in no layer of LAYERS" for path in sources if not has_layer(path)]
    return without_layer + [
        f"{path} imports {target}: {broken}"
        for path, text in sources.items()
        for target in sorted(imported(path, text))
        if (broken := broken_rule(path, target))]


def has_layer(path: str) -> bool:
    package, *inside = module_of(path)
    if package != "fraud" or not inside:
        return True
    if inside[0] == "training" and len(inside) > 1:
        return inside[1] in TRAINING_LAYER_OF
    return inside[0] in LAYER_OF


def broken_rule(path: str, target: str) -> str | None:
    """The rule that forbids the module at a path to import a dotted name."""
    package, *inside = module_of(path)
    target_package, *target_inside = target.split(".")
    if package in PROGRAMS | {"fraud"} and target_package in FOLDERS - {"fraud", package}:
        return f"{package} imports fraud and never another program"
    if target_package != "fraud" or not target_inside:
        return None
    if target_inside[0] == "training" and not may_use_training(path):
        return "only offline programs import fraud.training"
    if package == "fraud" and inside[:1] != target_inside[:1]:
        return later(LAYER_OF, inside, target_inside)
    if package == "fraud" and inside[:1] == ["training"] and inside[1:2] != target_inside[1:2]:
        return later(TRAINING_LAYER_OF, inside[1:], target_inside[1:])
    return None


def later(layer_of: dict[str, int], inside: list[str], target: list[str]) -> str | None:
    """The rule that is broken where a target is not of an earlier layer."""
    layer = layer_of.get(inside[0], -1) if inside else -1
    target_layer = layer_of.get(target[0], -1) if target else -1
    return "it is not of an earlier layer" if target_layer >= layer else None


def may_use_training(path: str) -> bool:
    return (path.split("/")[0] in USE_TRAINING
            or path.startswith("fraud/training/")
            or path == "stream/producer.py")


def imported(path: str, text: str) -> set[str]:
    """Dotted names of all imports in a text, at any depth."""
    return {name for node in ast.walk(ast.parse(text, path)) for name in names_of(node, path)}


def names_of(node: ast.AST, path: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        packages = PurePosixPath(path).parent.parts
        base = list(packages[:len(packages) - node.level + 1]) if node.level else []
        base += [node.module] if node.module else []
        yield from (".".join(base + [alias.name]) for alias in node.names)


def module_of(path: str) -> tuple[str, ...]:
    """The parts of the name of the module at a path."""
    parts = PurePosixPath(path).with_suffix("").parts
    return parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts


def sources() -> dict[str, str]:
    """Every Python text of the product; tests may import anything."""
    paths = [path for top in ROOT.iterdir() if top.is_dir() and top.name != "tests"
             if not top.name.startswith(".") for path in top.rglob("*.py")]
    names = {path: path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.py"), *paths]}
    return {name: path.read_text() for path, name in names.items() if "/." not in name}


# The checker itself.

@pytest.mark.parametrize(("path", "text"), [
    ("fraud/transaction.py", "from fraud.features import NAMES"),
    ("fraud/transaction.py", "import fraud.history"),
    ("fraud/history.py", "from fraud import features"),
    ("fraud/history.py", "from . import features"),
    ("fraud/history.py", "from .stores.redis import Store"),
    ("fraud/features.py", "from fraud import bundle"),
    ("fraud/features.py", "import fraud.bundle as b"),
    ("fraud/bundle.py", "from fraud import stores"),
    ("fraud/bundle.py", "from fraud.scorer import score"),
    ("fraud/settings.py", "from fraud import bundle"),
    ("fraud/stores/redis.py", "from fraud.bundle import load"),
    ("fraud/stores/redis.py", "from ..scorer import score"),
    ("fraud/scorer.py", "from fraud.training import simulate"),
    ("fraud/scorer.py", "def late():\n    from fraud import training"),
    ("fraud/scorer.py", "from fraud import features, training"),
    ("fraud/scorer.py", "import serve.app"),
    ("fraud/training/replay.py", "from stream import scorer"),
    ("fraud/training/replay.py", "from flows.train_flow import TrainFlow"),
    ("fraud/training/data/dataset.py", "from fraud.training.simulate import simulator"),
    ("fraud/training/features/splits.py", "from fraud.training.models import candidate"),
    ("fraud/training/registry/versions.py", "from fraud.training.promotion import final_test"),
    ("fraud/training/errors.py", "from fraud.training.files import write_parquet"),
    ("fraud/bundle.py", "from tests import anything"),
    ("fraud/__init__.py", "from fraud import bundle"),
    ("fraud/__init__.py", "from .transaction import parse"),
    ("flows/train_flow.py", "import serve"),
    ("serve/app.py", "from stream import topics"),
    ("serve/app.py", "try:\n    import monitoring.report\nexcept ImportError:\n    pass"),
    ("serve/app.py", "from fraud.training import simulate"),
    ("serve/app.py", "from bench import load"),
    ("stream/scorer.py", "from serve.app import app"),
    ("stream/scorer.py", "import os, fraud.training.simulate"),
    ("stream/deep/producer.py", "import fraud.training"),
    ("monitoring/report.py", "from flows import train_flow"),
    ("sam/handler.py", "import fraud.training"),
    ("desk/app.py", "from serve import api"),
    ("desk/app.py", "from fraud.training.registry import publication"),
    ("fraud/scorer.py", "import desk.tables"),
    ("tool.py", "from fraud.training.registry import promote"),
])
def test_an_import_the_wrong_way_is_reported(path, text):
    [violation] = violations({path: text})
    assert violation.startswith(f"{path} imports ")


@pytest.mark.parametrize(("path", "text"), [
    ("fraud/transaction.py", "import msgspec"),
    ("fraud/features.py", "from fraud.history import Counts\nfrom fraud.transaction import parse"),
    ("fraud/features.py", "from . import history"),
    ("fraud/bundle.py", "from fraud import features"),
    ("fraud/stores/__init__.py", "from fraud.stores.redis import Redis"),
    ("fraud/stores/redis.py", "from . import scripts\nfrom ..history import Counts"),
    ("fraud/stores/redis.py", "from fraud import settings"),
    ("fraud/scorer.py", "from fraud import bundle, history, settings, stores"),
    ("fraud/training/replay.py", "from fraud import scorer\nfrom fraud.training import parity"),
    ("fraud/training/replay.py", "from .parity import recount\nfrom ..bundle import load"),
    ("fraud/training/registry/versions.py", "from fraud.training.models import candidate"),
    ("fraud/training/reports/cards.py", "from fraud.training.reports import figures"),
    ("flows/train_flow.py", "import fraud\nfrom fraud.training import simulate"),
    ("serve/app.py", "from fraud.scorer import score\nfrom serve import problems"),
    ("serve/app.py", "from . import problems\nimport streamlit, servers.stream"),
    ("serve/app.py", "'import stream'  # import fraud.training"),
    ("stream/producer.py", "from fraud.training.simulate import simulate"),
    ("monitoring/report.py", "import fraud.training"),
    ("bench/load.py", "import serve.app, fraud.training"),
    ("notebooks/explore.py", "import fraud.training"),
])
def test_an_import_the_right_way_is_not_reported(path, text):
    assert violations({path: text}) == []


@pytest.mark.parametrize("path", [
    "fraud/helpers.py", "fraud/helpers/__init__.py", "fraud/training/helpers.py"])
def test_a_module_without_a_layer_is_reported(path):
    assert violations({path: ""}) == [f"{path} is in no layer of LAYERS"]


# The product.

def test_imports_run_one_way():
    assert violations(sources()) == []


@pytest.mark.parametrize("path", [
    "fraud/__init__.py", "fraud/transaction.py", "fraud/history.py", "fraud/features.py",
    "fraud/bundle/loading.py", "fraud/training/__init__.py"])
def test_the_sources_of_the_product_are_read(path):
    assert sources()[path] == (ROOT / path).read_text()


def test_the_package_holds_its_policy_for_metaflow_and_nothing_else():
    only = ast.parse('METAFLOW_PACKAGE_POLICY = "include"')
    assert ast.dump(ast.parse((ROOT / "fraud/__init__.py").read_text())) == ast.dump(only)


# The serving programs are light.

def heavy_imports(module: str, directory: Path) -> set[str]:
    """Heavy libraries that a fresh interpreter holds after importing a module."""
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        cwd=directory, capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    return HEAVY & {name.split(".")[0] for name in loaded}


@pytest.mark.parametrize("module", [
    "fraud.transaction", "fraud.features", "fraud.history", "fraud.brokers", "fraud.topics",
    "fraud.bundle",
    "stream.scorer", "stream.topics", "stream.dead_letters", "desk.app"])
def test_importing_the_domain_pulls_in_nothing_heavy(module):
    assert heavy_imports(module, ROOT) == set()


@pytest.mark.parametrize("text", [
    "import pandas", "from pandas import core", "import light_looking"])
def test_a_heavy_import_is_reported_at_any_depth(tmp_path, text):
    (tmp_path / "pandas").mkdir()       # before the installed one in the path
    (tmp_path / "pandas/__init__.py").touch()
    (tmp_path / "pandas/core.py").touch()
    (tmp_path / "light_looking.py").write_text("import pandas.core")
    (tmp_path / "planted.py").write_text(text)
    assert heavy_imports("planted", tmp_path) == {"pandas"}


@pytest.mark.parametrize("module", ["fraud.bundle", "fraud.training.models.candidate"])
def test_telemetry_of_onnx_runtime_is_off_before_it_loads(tmp_path, module):
    (tmp_path / "onnxruntime.py").write_text(       # before the installed one in the path
        "import os\nassert os.environ['ORT_DISABLE_TELEMETRY'] == '1'\nInferenceSession = None")
    heavy_imports(module, tmp_path)


# A module named like a library would hide it when its folder is on the path.

def named_like_a_library(names: Iterable[str]) -> set[str]:
    """Those names that the standard library or an installed distribution can be imported by."""
    installed = list({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    return {name for name in names
            if name in HEAVY | sys.stdlib_module_names
            or PathFinder.find_spec(name, installed) is not None}


def test_no_module_of_training_is_named_like_a_library():
    folder = ROOT / "fraud/training"
    names = {part for path in folder.rglob("*.py")
             for part in path.relative_to(folder).with_suffix("").parts} - {"__init__"}
    assert names
    assert named_like_a_library(names) == set()


def test_a_name_of_a_library_is_reported():
    names = {"pyspark", "xgboost", "tensorflow", "mlflow", "numpy", "msgspec", "statistics"}
    assert named_like_a_library(names | {"simulate", "registry", "trees"}) == names


def test_every_module_can_be_imported():
    """flake8 does not report imports of names that have moved."""
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts)
               for program in ("fraud", "serve", "stream", "monitoring", "bench", "desk")
               for path in (ROOT / program).rglob("*.py")
               if path.stem not in ("__main__", "lambda_handler", "env")
               and path.parent.name != "versions"]      # Lambda and Alembic start on import
    assert len(modules) > 100
    imported = subprocess.run([sys.executable, "-c", "import " + ", ".join(sorted(modules))],
                              cwd=ROOT, capture_output=True, text=True)
    assert imported.returncode == 0, imported.stderr
