"""Stores for all tests of `fraud`: DynamoDB is moto's, because AWS cannot run here."""

import copy
import threading
import time
from types import SimpleNamespace
from unittest.mock import patch

import botocore.session
import pytest

from fraud.settings import Settings
from fraud.stores import open_store


@pytest.fixture(scope="session")
def moto():
    """The URL of moto's server, which keeps its tables in this process.

    For every item that a transaction names, moto copies the whole table deeply, to roll back; the
    patch copies the named items, once. moto does not isolate transactions; the patch runs them one
    after the other.
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
    """One session for all tests: botocore reads the description of a service slowly."""
    return botocore.session.get_session()


@pytest.fixture
def dynamodb_url(moto, aws, monkeypatch):
    """The URL of an empty table, and the environment that leads to it."""
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
