import threading
from multiprocessing import get_context

import pytest

from fraud.published import PublishedError, PublishedFolder


def test_a_file_of_a_folder_is_read_and_a_missing_one_is_none(tmp_path):
    (tmp_path / "a.json").write_bytes(b"{}")
    for location in (str(tmp_path), f"{tmp_path}/"):
        assert PublishedFolder(location).read("a.json") == b"{}"
    assert PublishedFolder(str(tmp_path)).read("b.json") is None
    assert PublishedFolder(str(tmp_path / "none")).read("a.json") is None
    assert PublishedFolder(str(tmp_path / "a.json")).read("a.json") is None


def test_another_scheme_is_refused_and_not_taken_for_an_empty_folder():
    with pytest.raises(PublishedError, match="gs://rules: cannot be read from; name a folder or"):
        PublishedFolder("gs://rules")


def test_a_file_that_cannot_be_read_is_an_error_with_its_path(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(PublishedError, match=f"{tmp_path}/a.json: cannot be read"):
        PublishedFolder(str(tmp_path)).read("a.json")


def test_an_object_is_read_and_a_missing_one_is_none(bucket):
    """S3 is moto's server: AWS cannot run here."""
    bucket.put_object(Bucket="models", Key="team/a.json", Body=b"{}")
    bucket.put_object(Bucket="models", Key="b.json", Body=b"[]")
    assert PublishedFolder("s3://models/team/").read("a.json") == b"{}"
    assert PublishedFolder("s3://models").read("b.json") == b"[]"
    assert PublishedFolder("s3://models/team").read("b.json") is None


def test_a_bucket_that_is_not_there_is_an_error(bucket):
    with pytest.raises(PublishedError, match="s3://no-such-bucket/a.json: cannot be read"):
        PublishedFolder("s3://no-such-bucket").read("a.json")


def test_names_of_a_folder_are_sorted_and_none_without_it(tmp_path, bucket):
    for location in (str(tmp_path), "s3://models/team"):
        folder = PublishedFolder(location)
        for name in ("in/b.json", "in/a.json", "c.json"):
            folder.write(name, b"{}")
        assert (folder.names("in"), folder.names("none")) == (["a.json", "b.json"], [])


# A file that is replaced only if it is as expected.

def is_absent(content: bytes | None) -> bool:
    return content is None


def step(destination: str) -> bool:
    before = PublishedFolder(destination).read("count")
    return PublishedFolder(destination).replace_if("count", lambda now: now == before,
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
    assert PublishedFolder(destination).replace_if("a", is_absent, b"1")
    assert not PublishedFolder(destination).replace_if("a", is_absent, b"2")
    assert PublishedFolder(destination).replace_if("a", lambda content: content == b"1", b"3")
    assert not PublishedFolder(destination).replace_if("a", lambda content: content == b"1", b"4")
    assert PublishedFolder(destination).replace_if("a", lambda content: content == b"3", b"5")


def test_of_two_changes_at_once_one_is_refused(bucket):
    """The object changes between the read and the write of another."""
    written = iter((b"first", b"second"))

    def is_expected(content: bytes | None) -> bool:
        bucket.put_object(Bucket="models", Key="a", Body=next(written))
        return True

    for theirs in (b"first", b"second"):    # where there was no object, and where there was one
        assert not PublishedFolder("s3://models").replace_if("a", is_expected, b"mine")
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
    with pytest.raises(PublishedError, match=f"{destination}.*: cannot be (read|written)"):
        PublishedFolder(destination).replace_if("a", is_absent, b"")
