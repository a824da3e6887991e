"""What a lake lies on keeps the same promises in a folder and in an object store."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vostok_core.errors import Conflict, UsageError
from vostok_core.lake.address import Remote, S3Address, S3Options, parse_address
from vostok_core.lake.objects import UNWRITTEN, Folder, Objects
from vostok_core.lake.s3 import MARKER, s3_objects
from vostok_core.lake.store import Lake


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """The objects of an empty lake."""
    if request.param == "folder":
        return Lake.open(tmp_path / "lake").objects
    address = request.getfixturevalue("s3_address")
    return Lake.open(address, home=tmp_path / "home").objects


def test_what_is_put_is_read_listed_and_deleted(objects: Objects) -> None:
    assert objects.stat("a/b") is None
    with pytest.raises(FileNotFoundError):
        objects.read("a/b")
    put = objects.put("a/b", b"one")
    content, stat = objects.read("a/b")
    assert content == b"one"
    assert (stat.key, stat.size, stat.tag) == ("a/b", 3, put.tag)
    assert objects.stat("a/b") == stat
    assert stat.modified > 1.7e18
    objects.put("a/c/d", b"two")
    objects.put("ab", b"three")
    assert objects.names("a") == ["a/b", "a/c/d"]
    assert [each.size for each in objects.stats("a")] == [3, 3]
    assert objects.stats("a")[0] == stat
    assert objects.below("a") == ["c"]
    assert objects.below("") == ["a"]
    assert objects.names("") == ["a/b", "a/c/d", "ab", MARKER]
    assert objects.below("nothing") == objects.names("nothing") == []
    objects.delete("a/b")
    objects.delete("a/b")
    assert objects.names("a") == ["a/c/d"]


def test_what_begins_with_a_dot_is_not_listed_and_can_be_read(objects: Objects) -> None:
    objects.put("a/.b.lock", b"held")
    objects.put("a/.c/d", b"hidden")
    assert objects.names("a") == objects.below("a") == []
    assert objects.read("a/.b.lock")[0] == b"held"


def test_the_tag_changes_with_the_content(objects: Objects) -> None:
    first = objects.put("a", b"1").tag
    assert objects.stat("a").tag == first
    assert objects.put("a", b"2").tag != first


def test_who_has_not_seen_what_is_there_writes_nothing(objects: Objects) -> None:
    first = objects.put_if("a", b"1", UNWRITTEN)
    assert objects.stat("a").tag == first.tag
    with pytest.raises(Conflict, match="somebody else") as caught:
        objects.put_if("a", b"2", UNWRITTEN)
    assert caught.value.where == objects.spoken("a")
    second = objects.put_if("a", b"2", first.tag)
    for tag in (first.tag, UNWRITTEN):
        with pytest.raises(Conflict):
            objects.put_if("a", b"3", tag)
    assert objects.read("a")[0] == b"2"
    objects.delete("a")
    with pytest.raises(Conflict):
        objects.put_if("a", b"3", second.tag)
    assert objects.stat("a") is None


def test_of_many_that_count_at_once_none_is_lost(objects: Objects) -> None:
    objects.put("count", b"0")
    refused = []

    def count() -> None:
        for _ in range(15):
            while True:
                content, stat = objects.read("count")
                try:
                    objects.put_if("count", str(int(content) + 1).encode(), stat.tag)
                except Conflict:
                    refused.append(1)
                else:
                    break

    _at_once([count] * 4)
    assert objects.read("count")[0] == b"60"
    assert refused  # they did meet


def test_of_many_that_make_a_thing_at_once_one_does(objects: Objects) -> None:
    made: dict[int, list[bytes]] = {number: [] for number in range(15)}

    def make(name: bytes) -> Callable[[], None]:
        def run() -> None:
            for number, names in made.items():
                try:
                    objects.put_if(f"thing/{number}", name, UNWRITTEN)
                except Conflict:
                    continue
                names.append(name)

        return run

    _at_once([make(name) for name in (b"a", b"b", b"c", b"d")])
    for number, names in made.items():
        assert names == [objects.read(f"thing/{number}")[0]]


def test_a_turn_is_one_writers_at_a_time_and_a_thread_may_take_it_again(objects: Objects) -> None:
    inside = []
    most = []

    def write() -> None:
        for _ in range(3):
            with objects.sole_writer("news"), objects.sole_writer("news"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    _at_once([write] * 3)
    assert len(most) == 9
    assert max(most) == 1


NAMES = st.text(
    st.characters(codec="ascii", exclude_characters="/\\", min_codepoint=33, max_codepoint=126),
    min_size=1,
    max_size=12,
).filter(lambda name: not name.startswith("."))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES, below=NAMES)
def test_any_name_comes_back_as_it_was(objects: Objects, name: str, below: str) -> None:
    """Keys are quoted before they become names: what is left is safe in both places."""
    from urllib.parse import quote

    top = f"t/{uuid.uuid4().hex}"
    key = f"{top}/{quote(name, safe=' .-_:')}/{quote(below, safe=' .-_:')}"
    objects.put(key, name.encode())
    assert objects.read(key)[0] == name.encode()
    assert objects.names(top) == [key]
    assert objects.below(top) == [key.split("/")[2]]
    objects.delete(key)
    assert objects.names(top) == []


@pytest.mark.parametrize(
    ("text", "bucket", "prefix"),
    [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://bucket/a/b", "bucket", "a/b"),
        ("s3://bucket/a/b/", "bucket", "a/b"),
        ("s3:/bucket/a", "bucket", "a"),  # what is left of it in a path
    ],
)
def test_an_address_is_a_bucket_and_a_prefix(text: str, bucket: str, prefix: str) -> None:
    assert parse_address(text) == parse_address(Path(text)) == S3Address(bucket, prefix)


@pytest.mark.parametrize(
    "text", ["s3://", "s3://Bucket/x", "s3://b/x", "s3://bucket/a//b", "s3://bucket/../b",
             "gs://bucket/x", "https://host/bucket"],
)  # fmt: skip
def test_what_only_looks_like_an_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text)


def test_two_addresses_never_share_a_home() -> None:
    texts = ["s3://bucket/a", "s3://bucket/a/b", "s3://bucket/a_b", "s3://bucket-a", "s3://bucket"]
    names = {parse_address(text).folder_name for text in texts}
    assert len(names) == len(texts)
    assert all("/" not in name and not name.startswith(".") for name in names)


def test_the_name_of_an_object_answers_as_a_path_does() -> None:
    objects = s3_objects(S3Address("bucket", "a"), S3Options("http://127.0.0.1:9"), None)
    name = objects.place("t/k=1/part-a.b.parquet")
    path = Path("/t/k=1/part-a.b.parquet")
    assert (name.name, name.stem, str(name.parent)) == (path.name, path.stem, "s3://bucket/a/t/k=1")
    assert str(name) == name.as_uri() == "s3://bucket/a/t/k=1/part-a.b.parquet"
    assert name.relative_to(objects.place("t")) == "k=1/part-a.b.parquet"
    assert name.relative_to(objects.place()) == name.key
    assert objects.place() / "t" / "k=1" == name.parent
    for other in (objects.place("k"), objects.place("t/k"), Path("/t")):
        with pytest.raises(ValueError, match="not below"):
            name.relative_to(other)
    assert isinstance(name, Remote)
    assert Folder(Path("/l")).place("t") == Path("/l/t")


def _at_once(runs: list[Callable[[], None]]) -> None:
    wrong: list[BaseException] = []

    def guarded(run: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            try:
                run()
            except BaseException as error:  # noqa: BLE001  (shown below)
                wrong.append(error)

        return call

    threads = [threading.Thread(target=guarded(run)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
