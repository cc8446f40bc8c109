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
