"""Small real values and real servers that tests everywhere share."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

import boto3
import hypothesis
import msgspec
import numpy as np
import onnx
import pytest
import redis
from hypothesis import Phase
from moto.server import ThreadedMotoServer
from onnx import TensorProto, helper, numpy_helper

from fraud import bundle
from fraud.brokers import BROKERS
from fraud.features import DEFAULT
from fraud.training.features import spark_job
from fraud.training.models.candidate import Candidate, Variant
from fraud.training.registry import bundle_writer
from fraud.training.registry.lineage import Lineage
from fraud.training.simulate import simulator
from fraud.transaction import TYPES
from stream.broker import Broker
from tests.flows.running import Flow, written
from tests.redis_server import RedisServer
from tests.tools import IMAGE, MISSING, build_context, need_docker, run

hypothesis.settings.register_profile("suite", deadline=None)      # a busy machine is no defect
hypothesis.settings.register_profile("mutants", deadline=None, derandomize=True, database=None,
                                     phases=[Phase.explicit, Phase.generate])
hypothesis.settings.load_profile("suite")

SLOW_FIXTURES = {"spark", "broker", "trained"}      # a JVM, a broker, a training run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests as slow that use a slow fixture: `make test-fast` leaves them out."""
    for item in items:
        if SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter) -> None:
    """Name the programs that skipped tests need, in one line with the command that brings them."""
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", ())]
    missing = {match[1] for reason in reasons
               if (match := re.search(MISSING.format(r"([\w.-]+)"), reason))}
    if missing:
        terminalreporter.write_line(
            f"Tests were skipped that need {', '.join(sorted(missing))}: "
            "make programs tools (as root, or with sudo)", yellow=True)


def linear_model(width: int) -> bytes:
    """ONNX of a model whose logit is the first feature; what is not known counts as 0."""
    weights = np.zeros((width, 1), np.float32)
    weights[0] = 1.0
    graph = helper.make_graph(
        [helper.make_node("IsNaN", ["features"], ["unknown"]),
         helper.make_node("Where", ["unknown", "zero", "features"], ["known"]),
         helper.make_node("MatMul", ["known", "weights"], ["logit"])], "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(weights, "weights"),
         numpy_helper.from_array(np.float32(0), "zero")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def linear_candidate(directory: Path, framework: str = "xgboost") -> Candidate:
    """A candidate of linear models, its files in a directory."""
    variants = {}
    for name, names in (("model", DEFAULT.names), ("fallback", DEFAULT.fallback_names)):
        path = directory / f"{framework}-{name}" / f"{name}.onnx"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(linear_model(len(names)))
        manifest = bundle.ModelManifest(
            file=path.name, sha256=bundle.sha256(path.read_bytes()), features=list(names),
            calibration=bundle.Calibration(1.0, 0.0), metrics={"validation_f1": 0.5},
            medians=dict.fromkeys(names, 0.0),
            medians_by_type={name: dict.fromkeys(names, 0.0) for name in TYPES})
        variants[name] = Variant(
            onnx=str(path), native="", manifest=manifest, seconds=1.0,
            thresholds=bundle.Thresholds(review=0.5, decline=0.75),
            curves={"train_logloss": [0.2, 0.1], "early_stopping_logloss": [0.3, 0.2]})
    return Candidate(framework, {"rounds": 2}, TYPES, (), 150.0, **variants)


@pytest.fixture
def make_candidate(tmp_path) -> Callable[..., Candidate]:
    """Makes a candidate of linear models, and its files."""
    return lambda framework="xgboost": linear_candidate(tmp_path, framework)


@pytest.fixture
def make_bundle(make_candidate) -> Callable[..., str]:
    """Writes the bundle of a version of a linear model into a directory; gives its digest."""

    def make(directory: Path, version: str = "1", **lineage) -> str:
        return bundle_writer.write(make_candidate(), Lineage(**{
            "data_digest": "d" * 64, "git_commit": "c" * 40, "metaflow_run": "TrainFlow/7",
            "version": version, **lineage}), directory)

    return make


@pytest.fixture(scope="session")
def image(tmp_path_factory) -> str:
    """The image of the working tree with a linear bundle baked in, or that of FRAUD_TEST_IMAGE."""
    need_docker()
    if name := os.environ.get("FRAUD_TEST_IMAGE"):
        return name
    files, bundle_folder = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("bundle")
    bundle_writer.write(linear_candidate(files), Lineage(
        "d" * 64, "c" * 40, "TrainFlow/7", version="1"), bundle_folder / "bundle")
    context = build_context(tmp_path_factory.mktemp("context"), bundle_folder / "bundle")
    run("docker", "build", "-f", context / "serve/Dockerfile", "-t", IMAGE, context)
    return IMAGE


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of moto's server, which stands in for S3: AWS cannot run here."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    urlopen(Request(f"{address}/moto-api/reset", method="POST"))
    for name, value in {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "id",
                        "AWS_SECRET_ACCESS_KEY": "key", "AWS_DEFAULT_REGION": "eu-west-1",
                        "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="models", CreateBucketConfiguration={
        "LocationConstraint": "eu-west-1"})
    yield client
    server.stop()


@pytest.fixture(scope="session")
def spark():
    """The one Spark session of all tests."""
    with spark_job.session("local[2]") as session:
        yield session


@pytest.fixture(scope="session")
def bundle_directory(tmp_path_factory):
    """A bundle of two small models that were trained to find emptied accounts and quick senders."""
    from fraud.training.models import boosted_trees
    from fraud.training.models.samples import LabelledSample
    from fraud.training.settings import BoostedTrees

    directory, chance = tmp_path_factory.mktemp("bundle"), np.random.default_rng(7)
    settings = BoostedTrees(max_depth=4, learning_rate=0.3, rounds=30, early_stopping_rounds=10,
                            min_child_weight=1, subsample=1.0, colsample_bytree=1.0, reg_lambda=1.0,
                            max_bin=64)
    rows = chance.lognormal(2, 2, (4000, len(DEFAULT.names))).astype(np.float32)
    rows[:, DEFAULT.names.index("empties_account")] = chance.random(4000) < 0.3
    emptied = rows[:, DEFAULT.names.index("empties_account")] == 1
    many_sent = rows[:, DEFAULT.names.index("origin_sent_count_hour")] > 5
    manifests = {}
    for name, names, label in (("model", DEFAULT.names, emptied | many_sent),
                               ("fallback", DEFAULT.fallback_names, emptied)):
        width, path = len(names), directory / f"{name}.onnx"
        booster, _ = boosted_trees.fit(
            LabelledSample(rows[:3000], label[:3000]).first(width),
            LabelledSample(rows[3000:], label[3000:]).first(width), settings, seed=7)
        boosted_trees.export(booster, width, path)
        medians = dict(zip(names, np.median(rows[:, :width], axis=0).tolist(), strict=True))
        manifests[name] = bundle.ModelManifest(
            file=path.name, sha256=bundle.sha256(path.read_bytes()), features=list(names),
            calibration=bundle.Calibration(slope=0.9, intercept=-0.1), metrics={},
            medians=medians, medians_by_type=dict.fromkeys(TYPES, medians))
    (directory / bundle.MANIFEST_FILE).write_bytes(msgspec.json.encode(bundle.Manifest(
        name="fraud-detector", version="3", framework="xgboost", data_digest="", git_commit="",
        metaflow_run="", mlflow_run="", **manifests)))
    (directory / bundle.POLICY_FILE).write_bytes(msgspec.json.encode(bundle.Policy(
        version="3.1", model=bundle.Thresholds(review=0.5, decline=0.9),
        fallback=bundle.Thresholds(review=0.6, decline=0.95))))
    return directory


@pytest.fixture(scope="session")
def payments(tmp_path_factory) -> Path:
    """A small simulated month as a Parquet file."""
    path = tmp_path_factory.mktemp("payments") / "payments.parquet"
    simulator.write(simulator.simulate(60_000, seed=5), path)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory, payments) -> tuple[Flow, str]:
    """A directory in which the flow ran once, for all tests that need one, and what it wrote on
    the screen."""
    flow = Flow(tmp_path_factory.mktemp("trained"))
    result = flow("run", "--transactions", str(payments))
    assert result.returncode == 0, written(result)
    return flow, written(result)


@pytest.fixture(scope="session")
def acceptance() -> bool:
    """True if tests with a long form take it: `make acceptance` sets FRAUD_ACCEPTANCE=1."""
    return os.environ.get("FRAUD_ACCEPTANCE") == "1"


@pytest.fixture(scope="session")
def own_redis(tmp_path_factory):
    """Starts Redis servers of one's own, to be killed: `own_redis(*options)`."""
    if not shutil.which("redis-server"):
        pytest.fail("redis-server is missing; install it: apt-get install redis-server")
    servers = []

    def start(*options: str, **address) -> RedisServer:
        servers.append(RedisServer(tmp_path_factory.mktemp("redis"), *options, **address))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def shared_redis(own_redis):
    return own_redis()


@pytest.fixture
def redis_url(shared_redis):
    """A Redis without data."""
    redis.Redis.from_url(shared_redis.url).flushall()
    return shared_redis.url


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """The address of a broker: that of KAFKA_BOOTSTRAP_SERVERS, or our own."""
    if address := os.environ.get(BROKERS):
        yield address
        return
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    yield broker.address
    broker.stop()


@pytest.fixture
def app(tmp_path, make_bundle, monkeypatch):
    """The API's app, not running: what it serves is what may be probed and led to."""
    from sanic import Sanic

    from serve.app import create_app
    from serve.settings import ServeSettings

    monkeypatch.setattr(Sanic, "test_mode", True)       # another test may have an app of this name
    make_bundle(tmp_path / "bundle")
    return create_app(ServeSettings(model=str(tmp_path / "bundle"),
                                    decision_log=str(tmp_path / "decisions.jsonl")))
