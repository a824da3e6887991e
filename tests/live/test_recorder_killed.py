"""Killed at any moment, a recorder loses no trade, doubles nothing, and knows what it missed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from tests.live.recorder_world import (
    ABC,
    XYZ,
    Truth,
    check_book,
    check_parts,
    check_trades,
    exchange,
    make_project,
    recording,
    until,
)
from vostok_core.lake.recorder_folder import read_heartbeat, segments
from vostok_core.project import Project

SPEED = 900.0  # an hour of the market in four seconds: it lands between two kills


async def _killed(project: Project, kills: int, chance: random.Random) -> dict[str, Truth]:
    async with exchange(project, project.root / "exchange", SPEED) as (server, truths):
        for _ in range(kills):
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


def _begun(project: Project, pid: int) -> bool:
    """Whether a process has opened its segments."""
    beat = read_heartbeat(project.recorder_folder / XYZ)
    return beat is not None and beat["pid"] == pid


def kill_often(root: Path, kills: int, seed: int) -> None:
    project = make_project(root)
    truths = asyncio.run(_killed(project, kills, random.Random(seed)))
    said = (root / "recorder.out").read_text()
    assert "Traceback" not in said
    lake = project.open_lake()
    check_parts(lake)
    for name in (ABC, XYZ):
        assert segments(project.recorder_folder / name) == []
        check_trades(lake, truths[name])
        check_book(lake, truths[name])


def test_killed_twenty_times(tmp_path: Path) -> None:
    kill_often(tmp_path, 20, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 12))
def test_killed_two_hundred_times(tmp_path: Path, seed: int) -> None:
    kill_often(tmp_path, 20, seed)
