"""A full disk, a lake that can't be written, a clock that goes back: said, and nothing is lost."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.live.recorder_project import ABC, QUICK, XYZ, land, make_project, recorder
from tests.live.recorder_world import (
    Truth,
    check_book,
    check_parts,
    check_trades,
    exchange,
    recording,
    until,
)
from vostok_core.lake.recorder_folder import read_heartbeat, segments
from vostok_core.project import Project, find_project
from vostok_live.recorder.errors import RecorderError
from vostok_live.seams import MarketTime, Seams, WallClock, real_seams


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.long
def test_a_full_disk_ends_the_recorder_with_one_line_and_loses_nothing_that_was_written(
    tmp_path: Path, small_disk: Path
) -> None:
    project = make_project(tmp_path)
    settings = (tmp_path / "vostok.toml").read_text()
    settings = settings.replace("[recorder]", f'[recorder]\nfolder = "{small_disk}"')
    (tmp_path / "vostok.toml").write_text(settings)
    project = find_project(tmp_path, {})

    async def run() -> dict[str, Truth]:
        # An hour of the market takes a minute: the disk is full before it is over.
        async with exchange(project, tmp_path / "exchange", 60.0) as (server, truths):
            filler = small_disk / "filler"
            async with recording(project, server.url) as process:
                await until(lambda: _lines(project.recorder_folder / ABC) > 20)
                with pytest.raises(OSError, match="No space left"):
                    filler.write_bytes(b"x" * 300_000)
                assert await asyncio.wait_for(process.wait(), 60) == 1
            said = (tmp_path / "recorder.out").read_text()
            errors = [line for line in said.splitlines() if line.startswith("Error: ")]
            assert len(errors) == 1
            assert "can't be written down (No space left on device)" in errors[0]
            assert "Hint: make room" in errors[0]
            assert "Traceback" not in said
            assert _lines(project.recorder_folder / ABC) > 20
            filler.unlink()
            async with recording(project, server.url) as process:
                await until(lambda: _beat(project, "pid") == process.pid)
                await asyncio.sleep(3.0)
        return truths

    truths = asyncio.run(asyncio.wait_for(run(), 200))
    lake = project.open_lake()
    check_parts(lake)
    for name in (ABC, XYZ):
        assert segments(project.recorder_folder / name) == []
        check_trades(lake, truths[name])


def _beat(project: Project, name: str) -> Any:
    return (read_heartbeat(project.recorder_folder / ABC) or {}).get(name)


def _lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in segments(folder))


def test_where_nothing_can_be_written_it_does_not_begin(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.recorder_folder.write_text("a file is in the way")
    with pytest.raises(RecorderError, match="folder can't be written"):
        asyncio.run(recorder(project, "http://127.0.0.1:9").run())


def test_without_permission_to_write_it_ends_with_one_line(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    folder = project.recorder_folder / ABC
    folder.mkdir(parents=True)
    folder.chmod(0o500)

    async def run() -> int:
        async with recording(project, "http://127.0.0.1:9", bound=True) as process:
            return await asyncio.wait_for(process.wait(), 60)

    assert asyncio.run(run()) == 1
    (said,) = (tmp_path / "recorder.out").read_text().splitlines()
    assert said.startswith("Error: ")
    assert "the recorder's folder can't be written (Permission denied)" in said
    folder.chmod(0o700)


@pytest.mark.long
def test_without_permission_for_the_lake_it_records_and_lands_once_it_has_it(
    tmp_path: Path,
) -> None:
    project = make_project(tmp_path)
    (project.lake_home / "recorder").mkdir()
    project.lake_home.chmod(0o500)

    async def run() -> dict[str, Truth]:
        async with exchange(project, tmp_path / "exchange") as (server, truths):
            async with recording(project, server.url, bound=True) as process:
                await until(lambda: (_beat(project, "lines") or {}).get("trades", 0) > 20)
                await until(lambda: bool(_beat(project, "landing")))
                assert "Permission denied" in _beat(project, "landing")
                assert process.returncode is None
            said = (tmp_path / "recorder.out").read_text()
            assert "stopped in order, but not all was landed" in said
            assert "Traceback" not in said
        return truths

    truths = asyncio.run(asyncio.wait_for(run(), 100))
    assert len(segments(project.recorder_folder / ABC)) > 1
    project.lake_home.chmod(0o700)
    land(project)
    check_parts(project.open_lake())
    for name in (ABC, XYZ):
        check_trades(project.open_lake(), truths[name])


@pytest.mark.long
def test_what_can_not_be_landed_is_tried_again_and_said_meanwhile(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    refused = True

    async def land_or_not(instruments: object) -> str:
        if refused:
            return "the disk is full"
        await asyncio.to_thread(land, project)
        return ""

    async def run() -> None:
        nonlocal refused
        async with exchange(project, tmp_path / "exchange", 1_800.0) as (server, _):
            recording = recorder(project, server.url)
            recording._land = land_or_not
            task = asyncio.ensure_future(recording.run())
            folder = project.recorder_folder / ABC
            await until(lambda: _beat(project, "landing") == "the disk is full", task)
            assert len(segments(folder)) > 1
            assert _beat(project, "state") == "recording"
            refused = False
            await until(lambda: len(segments(folder)) <= 1, task)
            await until(lambda: _beat(project, "landing") is None, task)
            recording.stop()
            await task

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_wall_clock_that_was_set_back_between_two_recordings_harms_nothing(
    tmp_path: Path,
) -> None:
    """Two days back: names of segments, times of rows and the order of quotes."""
    project = make_project(tmp_path)
    back = 2 * 86_400 * 10**9

    async def run() -> dict[str, Truth]:
        async with exchange(project, tmp_path / "exchange", 600.0) as (server, truths):
            for off in (0, -back, 0):
                base = real_seams()
                now = base.clock.wall_ns
                clock = WallClock(MarketTime(), wall=lambda off=off, now=now: now() + off)
                seams = Seams(clock, base.random, base.connector, base.connect)
                recording = recorder(project, server.url, seams, timing=QUICK)
                task = asyncio.ensure_future(recording.run())
                await until(lambda r=recording: bool(r.recordings), task)
                each = recording.recordings["ABCUSDT"]
                await until(lambda e=each: e.counts["trades"] > 20, task)
                recording.stop()
                await task
        return truths

    truths = asyncio.run(asyncio.wait_for(run(), 100))
    land(project)
    lake = project.open_lake()
    for name in (ABC, XYZ):
        check_trades(lake, truths[name])
        check_book(lake, truths[name])
        days = lake.days("quotes", instrument=name)
        seen = pl.concat([lake.read("quotes", instrument=name, date=d) for d in days])["seen_ts"]
        assert not seen.is_sorted(), "our clock went back, and the exchange's did not"
