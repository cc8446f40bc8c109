"""For all tests of `fraud`: a DynamoDB by moto (AWS cannot run here), a small trained bundle."""

import copy
import threading
import time
from types import SimpleNamespace
from unittest.mock import patch

import botocore.session
import msgspec
import numpy as np
import pytest

from fraud import bundle, features
from fraud.settings import Settings
from fraud.stores import open_store


@pytest.fixture(scope="session")
def moto():
    """The URL of moto's server, which keeps its tables in this process.

    For every item that a transaction names, moto copies the whole table deeply, to roll back; here
    it copies the named items, once. Nor does it isolate transactions: here each has its turn.
    """
    from moto.dynamodb import models
    from moto.dynamodb.models.dynamo_type import DynamoType
    from moto.server import ThreadedMotoServer

    original, turn = models.DynamoDBBackend.transact_write_items, threading.Lock()

    def transact_write_items(self, writes):
        snapshots = {}

        def snapshot(thing):
            if not isinstance(thing, models.Table):
                return copy.deepcopy(thing)
            if thing.name not in snapshots:
                snapshots[thing.name] = kept = copy.copy(thing)
                kept.items = copy.copy(thing.items)
                for write in writes:
                    [operation] = write.values()
                    key = DynamoType(operation.get("Key", operation.get("Item"))["pk"])
                    if key in kept.items:
                        kept.items[key] = copy.deepcopy(kept.items[key])
            return snapshots[thing.name]

        with turn, patch.object(models, "copy", SimpleNamespace(deepcopy=snapshot)):
            original(self, writes)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with patch.object(models.DynamoDBBackend, "transact_write_items", transact_write_items):
        yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(scope="session")
def aws():
    """One session for all tests: botocore takes its time to read what it knows of a service."""
    return botocore.session.get_session()


@pytest.fixture
def dynamodb_url(moto, aws, monkeypatch):
    """An empty table, and an environment in which it is found."""
    for name, value in {"AWS_ENDPOINT_URL": moto, "AWS_DEFAULT_REGION": "eu-central-1",
                        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(botocore.session, "get_session", lambda: aws)
    client = aws.create_client("dynamodb")
    table = f"table-{time.monotonic_ns()}"
    client.create_table(
        TableName=table, BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}])
    yield f"dynamodb://{table}"
    client.delete_table(TableName=table)


@pytest.fixture(params=["memory", "redis", "dynamodb"])
def history_url(request):
    """The URL of an empty store, of each kind."""
    if request.param == "memory":
        return "memory://"
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def opened():
    """Opens stores, with deadlines that a busy machine keeps: `opened(url, **settings)`."""
    stores = []

    def opened(url: str, **settings):
        stores.append(open_store(Settings(history=url, **{"history_deadline_ms": 10_000.0,
                                                          **settings})))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(history_url, opened):
    """An empty store, of each kind."""
    return opened(history_url)


@pytest.fixture(scope="session")
def bundle_directory(tmp_path_factory):
    """A bundle of two small models that were trained to find emptied accounts and quick senders."""
    from fraud.training import boosted_trees
    from fraud.training.settings import BoostedTrees

    directory, chance = tmp_path_factory.mktemp("bundle"), np.random.default_rng(7)
    settings = BoostedTrees(max_depth=4, learning_rate=0.3, rounds=30, early_stopping_rounds=10,
                            min_child_weight=1, subsample=1.0, colsample_bytree=1.0, max_bin=64)
    rows = chance.lognormal(2, 2, (4000, len(features.NAMES))).astype(np.float32)
    rows[:, features.NAMES.index("empties_account")] = chance.random(4000) < 0.3
    emptied = rows[:, features.NAMES.index("empties_account")] == 1
    many_sent = rows[:, features.NAMES.index("origin_sent_count_hour")] > 5
    manifests = {}
    for name, names, label in (("model", features.NAMES, emptied | many_sent),
                               ("fallback", features.FALLBACK_NAMES, emptied)):
        width, path = len(names), directory / f"{name}.onnx"
        booster, _ = boosted_trees.fit(rows[:3000, :width].copy(), label[:3000],
                                       rows[3000:, :width].copy(), label[3000:], settings, seed=7)
        boosted_trees.export(booster, width, path)
        manifests[name] = bundle.ModelManifest(
            file=path.name, sha256=bundle.sha256(path.read_bytes()), features=list(names),
            calibration=bundle.Calibration(slope=0.9, intercept=-0.1), metrics={},
            medians=dict(zip(names, np.median(rows, axis=0).tolist())))
    (directory / bundle.MANIFEST_FILE).write_bytes(msgspec.json.encode(bundle.Manifest(
        name="fraud-detector", version="3", framework="xgboost", data_digest="", git_commit="",
        metaflow_run="", mlflow_run="", **manifests)))
    (directory / bundle.POLICY_FILE).write_bytes(msgspec.json.encode(bundle.Policy(
        version="3.1", model=bundle.Thresholds(review=0.5, decline=0.9),
        fallback=bundle.Thresholds(review=0.6, decline=0.95))))
    return directory
