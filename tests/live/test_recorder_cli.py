"""`vostok-live record` as a person calls it: what it teaches, refuses, shows and lands."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from typer.testing import CliRunner, Result

from tests.live.recorder_project import ABC, XYZ, make_project
from tests.live.recorder_world import (
    ROOT,
    depth_line,
    exchange,
    quote_line,
    recording,
    trade_line,
    until,
    write_lines,
)
from vostok_core.errors import SettingsError, UsageError
from vostok_core.lake.recorder_folder import SUFFIX, read_heartbeat, segments
from vostok_core.project import Project, find_project
from vostok_live.cli import app
from vostok_live.daemon.venue import BINANCE, TESTNET
from vostok_live.recorder.plan import make_plan
from vostok_live.recorder.status import Heartbeat, RecorderStatus, Recording, encode, read_status
from vostok_live.recorder.words import notes_of, state_of
from vostok_live.service.reference import recorder_schema


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("VOSTOK_L")}
    return subprocess.run(
        [sys.executable, "-m", "vostok_live", "record", *arguments],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_teaches_by_examples_that_parse(tmp_path: Path) -> None:
    said = call(tmp_path, "--help").stdout
    for word in ("record status", "record land", "--replay", "--keep", "recordings", "Examples:"):
        assert word in said
    for verb in ("status", "land", "start"):
        shown = call(tmp_path, verb, "--help")
        assert shown.returncode == 0
        assert re.search(rf"vostok-live record( {verb}| )", shown.stdout)
        assert "Example" in shown.stdout


def test_what_can_not_be_recorded_is_refused_with_a_hint(project: Project) -> None:
    text = (project.root / "vostok.toml").read_text().replace("demo.spot.XYZ", "binance.spot.XYZ")
    text = re.sub(r"instruments = .*", 'instruments = ["binance.spot.XYZ-USDT"]', text)
    others = {
        "binance.usdm.XYZ": "trade", "binance.spot.KLN": "none", "binance.spot.ABC": "trade",
        "testnet.spot.XYZ": "trade",
    }  # fmt: skip
    for name, tick in others.items():
        text += f'[instruments."{name}-USDT"]\ntick = "{tick}"\n'
        text += 'price_tick = "0.01"\nquantity_step = "0.001"\n'
    (project.root / "vostok.toml").write_text(text)
    project = find_project(project.root, {})
    assert make_plan(project, (), None).venue is BINANCE
    assert make_plan(project, ["testnet.spot.XYZ-USDT"], None).venue is TESTNET
    assert make_plan(project, (), "binance").venue is BINANCE
    for names, said in (
        (["binance.spot.KLN-USDT"], "has no ticks to record"),
        (["binance.usdm.XYZ-USDT"], "is no spot market"),
        ([ABC, "binance.spot.XYZ-USDT"], "binance and demo can't be recorded by one process"),
        (["NOPE/USDT"], "no instrument is called"),
        ([ABC], "no embedded exchange runs on this lake"),
    ):
        with pytest.raises(UsageError, match=said):
            make_plan(project, names, None)
    for named in ("testnet", "binance"):
        with pytest.raises(UsageError, match=f"what {named} says would be recorded as of demo"):
            make_plan(project, [ABC], named)
    with pytest.raises(UsageError, match="what testnet says would be recorded as of binance"):
        make_plan(project, (), "testnet")
    with pytest.raises(UsageError, match="are one symbol at one exchange"):
        make_plan(project, [ABC, "binance.spot.ABC-USDT"], "http://127.0.0.1:1")
    (project.root / "vostok.toml").write_text(re.sub(r"instruments = .*", "", text))
    nobody = find_project(project.root, {})
    with pytest.raises(UsageError, match="no instrument was named"):
        make_plan(nobody, (), None)


@pytest.mark.parametrize(
    ("named", "said"),
    [("demo.spot.NOPE-USDT", "no instrument is called"), ("not a name", "no instrument is called")],
)
def test_settings_that_name_what_is_not_there_are_refused(
    project: Project, named: str, said: str
) -> None:
    text = (project.root / "vostok.toml").read_text().replace(ABC, named, 1)
    (project.root / "vostok.toml").write_text(text)
    with pytest.raises(SettingsError, match=said):
        find_project(project.root, {})


def called(project: Project, *arguments: str) -> Result:
    """The command in this process, which has imported already what it needs."""
    with pytest.MonkeyPatch.context() as here:
        here.chdir(project.root)
        here.setenv("COLUMNS", "120")
        return CliRunner().invoke(app, ["record", *arguments])


def test_a_capture_is_landed(project: Project) -> None:
    lines = [trade_line(1, 1), quote_line(2, 2), depth_line(1, 2, 3)]
    path = write_lines(project.root / "capture", lines)
    done = called(project, ABC, "--replay", str(path))
    assert done.exit_code == 0, done.stderr
    assert "capture: 3 lines, 2025-03-31: 1 raw_trades, 1 raw_quotes, 1 raw_depth" in done.stdout
    done = called(project, ABC, XYZ, "--replay", str(path))
    assert done.exit_code == 2
    assert "2 were named" in done.stderr
    done = called(project, ABC, "--replay", str(project.root / "vostok.toml"))
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "a capture has a time in nanoseconds" in done.stderr


@pytest.mark.long
def test_what_a_recorder_left_is_landed(project: Project) -> None:
    folder = project.recorder_folder / ABC
    path = folder / f"20250331T23-00000001{SUFFIX}"
    write_lines(path, [trade_line(1, 1)])
    done = call(project.root, "land", ABC, "--keep")
    assert done.returncode == 0, done.stderr
    assert "1 raw_trades" in done.stdout
    assert segments(folder) == []
    assert (folder / "kept" / f"{path.name}.gz").exists()


def _beat(project: Project) -> Mapping[str, Any]:
    return read_heartbeat(project.recorder_folder / ABC) or {}


@pytest.mark.long
def test_it_says_how_recordings_stand_while_they_run_and_when_they_ended(
    project: Project,
) -> None:
    assert "nothing was ever recorded here" in call(project.root, "status").stdout

    async def run() -> list[RecorderStatus]:
        found = []
        async with exchange(project, project.root / "exchange", 60.0) as (server, _):
            for how in (signal.SIGTERM, signal.SIGKILL):
                async with recording(project, server.url) as process:
                    await until(lambda p=process: _beat(project).get("pid") == p.pid)
                    await until(lambda: _beat(project).get("lines", {}).get("trades"))
                    shown = await asyncio.to_thread(call, project.root, "status", "--json")
                    assert shown.returncode == 0, shown.stderr
                    document = json.loads(shown.stdout)
                    jsonschema.validate(document, recorder_schema())
                    assert {r["instrument"]: r["alive"] for r in document["recordings"]} == {
                        ABC: True, XYZ: True,
                    }  # fmt: skip
                    process.send_signal(how)
                    assert await process.wait() == (0 if how == signal.SIGTERM else -signal.SIGKILL)
                found.append(read_status(project.recorder_folder, 0, [ABC]))
                shown = await asyncio.to_thread(call, project.root, "status", ABC)
                assert ("stopped" if how == signal.SIGTERM else "killed") in shown.stdout
        return found

    stopped, killed = asyncio.run(asyncio.wait_for(run(), 120))
    for status in (stopped, killed):
        jsonschema.validate(json.loads(encode(status)), recorder_schema())
    assert [state_of(each) for each in stopped.recordings] == ["stopped"]
    assert [state_of(each) for each in killed.recordings] == ["killed"]
    said = " ".join(notes_of(killed.recordings[0]))
    assert "start `vostok-live record` again" in said
    assert "`vostok-live record land`" in said
    output = (project.root / "recorder.out").read_text()
    assert "landed 2 files" in output
    assert "landed 2 files" in call(project.root, "land").stdout
    assert "nothing is left to land" in call(project.root, "land").stdout


def test_a_heartbeat_that_does_not_read_is_said(project: Project) -> None:
    folder = project.recorder_folder / ABC
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    (folder / "heartbeat.json").write_text('{"pid": ')
    status = read_status(project.recorder_folder, 0)
    (each,) = status.recordings
    assert (each.alive, each.heartbeat) == (False, None)
    assert "can't be read" in called(project, "status").stdout


def test_what_a_person_should_look_at_is_said() -> None:
    beat = Heartbeat(
        version="1", instrument=ABC, tick="trade", exchange="binance", url="https://x", host="h",
        pid=1, state="recording", started_us=0, now_us=100_000_000, market_ts=0,
        last_frame_us=99_000_000,
        trade_id=1, trade_ts=1, next_id=2, whole=True, lines={}, bytes=0, fetched=12, lost=3,
        snapshots=1, depth_breaks=2, connections=1, ended={}, clock_offset_ms=-1270.0,
        clock_age_s=1.0, segment=None, trouble="no symbol", landing="full", disk_free=1,
    )  # fmt: skip
    each = Recording(ABC, True, 45.0, 1.0, 3, beat)
    said = notes_of(each)
    assert len(said) == 7
    assert "no heartbeat for 45 s" in said[0]
    assert "this machine's clock is -1.27 s off" in said[-1]
    fine = msgspec.structs.replace(
        beat, fetched=0, lost=0, depth_breaks=0, clock_offset_ms=3.0, landing=None, trouble=None
    )
    assert notes_of(Recording(ABC, True, 1.0, 1.0, 1, fine)) == []
