import threading
from multiprocessing import get_context

import pytest

from fraud.published import PublishedFolder
from fraud.training.errors import TrainingError
from fraud.training.registry.compare_and_set import replace_if


def is_absent(content: bytes | None) -> bool:
    return content is None


def step(destination: str) -> bool:
    before = PublishedFolder(destination).read("count")
    return replace_if(destination, "count", lambda now: now == before,
                      b"%d" % (int(before or 0) + 1))


def add_one(destination: str, times: int) -> int:
    """Count to a number in a file with others; returns the refusals."""
    refusals = 0
    for _ in range(times):
        while not step(destination):
            refusals += 1
    return refusals


@pytest.fixture(params=["folder", "s3"])
def destination(request, tmp_path):
    """A folder and a prefix of S3, which is moto's server: AWS cannot run here."""
    if request.param == "folder":
        return str(tmp_path / "deep/models")
    request.getfixturevalue("bucket")
    return "s3://models/team"


def test_a_file_is_replaced_only_if_it_is_as_expected(destination):
    assert replace_if(destination, "a", is_absent, b"1")
    assert not replace_if(destination, "a", is_absent, b"2")
    assert replace_if(destination, "a", lambda content: content == b"1", b"3")
    assert not replace_if(destination, "a", lambda content: content == b"1", b"4")
    assert replace_if(destination, "a", lambda content: content == b"3", b"5")


def test_of_two_changes_at_once_one_is_refused(bucket):
    """The object changes between the read and the write of another."""
    written = iter((b"first", b"second"))

    def is_expected(content: bytes | None) -> bool:
        bucket.put_object(Bucket="models", Key="a", Body=next(written))
        return True

    for theirs in (b"first", b"second"):    # where there was no object, and where there was one
        assert not replace_if("s3://models", "a", is_expected, b"mine")
        assert bucket.get_object(Bucket="models", Key="a")["Body"].read() == theirs


def test_processes_that_count_together_lose_no_step(tmp_path):
    with get_context("spawn").Pool(4) as pool:
        pool.starmap(add_one, [(str(tmp_path), 25)] * 4)
    assert (tmp_path / "count").read_bytes() == b"100"


def test_threads_that_count_on_s3_lose_no_step(bucket):
    threads = [threading.Thread(target=add_one, args=("s3://models", 5)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bucket.get_object(Bucket="models", Key="count")["Body"].read() == b"15"


@pytest.mark.parametrize("destination", ["/proc/models", "s3://no-such-bucket/models"])
def test_what_cannot_be_written_is_an_error(destination, bucket):
    with pytest.raises(TrainingError, match=f"{destination}: cannot be written to"):
        replace_if(destination, "a", is_absent, b"")
