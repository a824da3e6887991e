"""Killed at any moment, a recorder loses no trade, doubles nothing, and knows what it missed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.live.recorder_project import ABC, XYZ, land, make_project
from tests.live.recorder_world import (
    ROOT,
    Truth,
    check_book,
    check_parts,
    check_trades,
    exchange,
    recording,
    until,
)
from vostok_core.lake.recorder_folder import read_heartbeat, segments
from vostok_core.project import Project

SPEED = 900.0  # an hour of the market in four seconds: it lands between two kills


def check(project: Project, truths: dict[str, Truth]) -> None:
    """What is in the lake is whole, and is what the exchange said."""
    lake = project.open_lake()
    check_parts(lake)
    for name in (ABC, XYZ):
        assert segments(project.recorder_folder / name) == []
        check_trades(lake, truths[name])
        check_book(lake, truths[name])


def test_killed_twenty_times_within_seconds(tmp_path: Path) -> None:
    """While it begins, while it records, and most often while it lands what the last one left."""
    project = make_project(tmp_path)
    chance = random.Random(1)

    async def run() -> dict[str, Truth]:
        forks = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.live.recorder_forks", str(tmp_path),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert forks.stdin is not None
        assert forks.stdout is not None
        async with exchange(project, tmp_path / "exchange", SPEED) as (server, truths):
            for life in range(21):
                forks.stdin.write(f"{server.url}\n".encode())
                pid = int(await forks.stdout.readline())
                if life < 20:
                    await asyncio.sleep(chance.choice([0.03, 0.3]) * chance.random())
                    os.kill(pid, signal.SIGKILL)
                    assert int(await forks.stdout.readline()) == -signal.SIGKILL
            await until(lambda: _begun(project, pid))
            await asyncio.sleep(0.5)
            os.kill(pid, signal.SIGTERM)
            assert int(await forks.stdout.readline()) == 0
        forks.stdin.close()
        await forks.wait()
        return truths

    truths = asyncio.run(asyncio.wait_for(run(), 100))
    land(project)
    check(project, truths)


def _begun(project: Project, pid: int) -> bool:
    """Whether a process has opened its segments."""
    beat = read_heartbeat(project.recorder_folder / XYZ)
    return beat is not None and beat["pid"] == pid


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 12))
def test_killed_two_hundred_times(tmp_path: Path, seed: int) -> None:
    """The command itself, and half the time the process that lands with it."""
    project = make_project(tmp_path)
    chance = random.Random(seed)

    async def run() -> dict[str, Truth]:
        async with exchange(project, tmp_path / "exchange", SPEED) as (server, truths):
            for _ in range(20):
                async with recording(project, server.url) as process:
                    if chance.random() < 0.85:  # else it is killed while it begins
                        await until(lambda pid=process.pid: _begun(project, pid))
                    await asyncio.sleep(chance.uniform(0.0, 1.5))
                    if chance.random() < 0.5:
                        process.kill()  # whoever lands its segments goes on
                    else:
                        os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
            async with recording(project, server.url) as process:
                await until(lambda: _begun(project, process.pid))
                await asyncio.sleep(2.0)
                assert process.returncode is None
        return truths

    truths = asyncio.run(run())
    while any(segments(project.recorder_folder / name) for name in (ABC, XYZ)):
        land(project)  # what a process that outlived its recorder has in hand is left to it
    assert "Traceback" not in (tmp_path / "recorder.out").read_text()
    check(project, truths)
