"""What was written to a segment is there, whoever was killed in the middle of which line."""

from __future__ import annotations

import errno
import gzip
import os
import resource
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vostok_core.lake.recorder_folder import (
    KEPT,
    SUFFIX,
    open_days,
    segment_hour,
    segment_name,
    segments,
)
from vostok_core.times import day_of
from vostok_live.recorder.errors import RecorderError, RecorderTaken
from vostok_live.recorder.lease import RecorderLease
from vostok_live.recorder.lines import (
    VERSION,
    Begun,
    Clock,
    Down,
    Text,
    Up,
    compact,
    on_one_line,
    read_own,
    split,
    written,
)
from vostok_live.recorder.segment import Segment, lines, opened, put_away, taken

NOW = 1_743_462_000 * 10**9
NAME = "20250331T23-0123abcd"
FIRST = Begun(VERSION, "demo.spot.ABC-USDT", "agg_trade", "embedded", up=False)


def begun(folder: Path, name: str = NAME) -> Segment:
    return Segment.begin(folder, name, NOW, FIRST)


def read(path: Path) -> list[tuple[int, bytes] | None]:
    with opened(path) as file:
        return list(lines(file))


def test_what_is_appended_is_read_again(tmp_path: Path) -> None:
    segment = begun(tmp_path)
    segment.append(NOW + 1, b'{"e":"trade"}')
    segment.write(NOW + 2, Up(3))
    segment.append(NOW + 3, 'half a frame: {"stre…'.encode())
    segment.sync()
    first, *rest = read(segment.path)
    assert first is not None
    assert read_own(first[1]) == FIRST
    assert rest[0] == (NOW + 1, b'{"e":"trade"}')
    assert rest[1] == (NOW + 2, b'{"vostok":"up","connection":3}')
    assert rest[2] == (NOW + 3, 'half a frame: {"stre…'.encode())
    assert segment.size == segment.path.stat().st_size
    segment.close()
    segment.close()


@given(st.lists(st.binary(max_size=40)), st.integers(0, 200))
def test_whatever_comes_is_a_line_and_a_kill_takes_the_last_one_alone(
    tmp_path_factory: pytest.TempPathFactory, texts: list[bytes], cut: int
) -> None:
    segment = begun(tmp_path_factory.mktemp("segment"))
    for n, text in enumerate(texts):
        segment.append(NOW + n, text)
    segment.close()
    found = read(segment.path)[1:]
    assert len(found) == len(texts)
    for n, (text, line) in enumerate(zip(texts, found, strict=True)):
        assert line is not None
        assert line[0] == NOW + n
        if b"\n" in text or not text:
            assert read_own(line[1]) == Text(text.decode("utf-8", "backslashreplace"))
        else:
            assert line[1] == text
    # The same file, as a kill in the middle of a write leaves it.
    content = segment.path.read_bytes()
    left = content[: max(len(content) - cut, 0)]
    segment.path.write_bytes(left)
    assert len(read(segment.path)) == left.count(b"\n")


def test_zeros_after_a_power_cut_are_no_line(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}{SUFFIX}"
    path.write_bytes(b"%d {}\n" % NOW + b"\0" * 5_000 + b"\n17 x\nnonsense\n%d \n" % NOW)
    assert read(path) == [(NOW, b"{}"), None, None, None, None]


def test_a_line_that_never_ends_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}{SUFFIX}"
    long = b"x" * (9 * 1024 * 1024)
    path.write_bytes(b"%d %b\n%d {}\n" % (NOW, long, NOW))
    assert read(path) == [None, (NOW, b"{}")]


@pytest.mark.parametrize(
    "line", [b"", b" ", b"17", b"17 x", b"-5 x", b"9" * 30 + b" x", b"2025-03-31 x", b"1e18 x"]
)
def test_what_has_no_time_is_no_line(line: bytes) -> None:
    assert split(line) is None


def test_answers_stand_on_one_line() -> None:
    assert bytes(compact(b"[1, 2]")) == b"[1, 2]"
    assert bytes(compact(b'{"a":\n [1,\n2]}')) == b'{"a":[1,2]}'
    assert on_one_line(b"{}") == b"{}"
    for line in (Down(1, "dead", 7, left=False), Clock(1, 2, 1.0, 3, apart=False)):
        assert read_own(written(line)) == line


def test_a_segment_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    segment = begun(tmp_path)
    with pytest.raises(RecorderError, match="can't be written down"):
        begun(tmp_path / "nowhere")
    assert [path.name for path in tmp_path.iterdir()] == [segment.path.name]
    segment.close()


def test_a_segment_is_in_one_pair_of_hands(tmp_path: Path) -> None:
    segment = begun(tmp_path)
    with taken(segment.path) as file:
        assert file is None, "it is being written"
    segment.close()
    with taken(segment.path) as file:
        assert file is not None
        with taken(segment.path) as other:
            assert other is None, "it is being landed"
        segment.path.unlink()
    with taken(segment.path) as file:
        assert file is None, "it has landed"


def test_a_segment_that_has_landed_is_removed_or_kept(tmp_path: Path) -> None:
    for keep in (False, True):
        segment = begun(tmp_path)
        segment.append(NOW, b"{}")
        segment.close()
        content = segment.path.read_bytes()
        put_away(segment.path, keep=keep)
        assert segments(tmp_path) == []
    kept = tmp_path / KEPT / f"{NAME}{SUFFIX}.gz"
    assert gzip.decompress(kept.read_bytes()) == content
    assert len(read(kept)) == 2
    with pytest.raises(RecorderError, match="put away"):
        put_away(segment.path, keep=False)


def test_segments_are_told_by_their_names(tmp_path: Path) -> None:
    names = [segment_name(hour, "00000001") for hour in map(hour_of, (5, 2, 30))]
    for name in (*names, "20250331T99-00000001"):
        (tmp_path / f"{name}{SUFFIX}").touch()
    for other in ("heartbeat.json", f"{names[0]}{SUFFIX}.gz", f".{names[0]}.new", "lock"):
        (tmp_path / other).touch()
    assert [path.name.removesuffix(SUFFIX) for path in segments(tmp_path)] == sorted(names)
    assert open_days(tmp_path) == {day_of(0), day_of(86_400_000_000)}
    assert segment_hour(tmp_path / "heartbeat.json") is None
    assert segments(tmp_path / "nowhere") == []


def hour_of(hours: int):
    from vostok_core.times import HOUR, utc

    return utc(hours * HOUR)


def test_one_process_records_an_instrument(tmp_path: Path) -> None:
    lease = RecorderLease.take(tmp_path / "a")
    with pytest.raises(RecorderTaken, match=f"recorded by process {os.getpid()}"):
        RecorderLease.take(tmp_path / "a")
    lease.give_back()
    lease.give_back()
    RecorderLease.take(tmp_path / "a").give_back()
    (tmp_path / "file").touch()
    with pytest.raises(RecorderError, match="folder can't be written"):
        RecorderLease.take(tmp_path / "file" / "a")


def test_a_disk_that_is_full_ends_it_and_what_was_written_stays(tmp_path: Path) -> None:
    """The limit on a file's size stands for the disk's: both take a part of a line and no more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    segment = begun(tmp_path)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, before[1]))
        while segment.size + 200 < 4_096:
            segment.append(NOW, b"x" * 100)
        whole = len(read(segment.path))
        with pytest.raises(RecorderError, match=os.strerror(errno.EFBIG)) as caught:
            segment.append(NOW, b"x" * 300)
        assert "start the recorder again" in str(caught.value)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    segment.close()
    assert len(read(segment.path)) == whole
    assert segment.path.stat().st_size == 4_096, "a part of a line was taken"
