"""From files to a gate's decision, and to a daemon that trades, on a lake at s3://."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from tests.live.daemon_world import (
    NAME,
    STRATEGY,
    World,
    daemon_process,
    exchange_process,
    make_world,
    seen,
    wait_for,
)
from tests.pipelines.conftest import FIRST, LAST, SETTINGS, A
from tests.pipelines.conftest import STRATEGY as STRATEGY_FILE
from tests.store.proxy import Request, between
from tests.store.server import Server
from vostok_core.errors import Conflict
from vostok_core.hashing import hash_frame
from vostok_core.lake.catalog import query
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TABLES
from vostok_core.live.parity import prove
from vostok_core.models.bundle_folder import load_bundle
from vostok_core.models.registry import bundle_path
from vostok_core.project import Project, find_project
from vostok_live.service import client
from vostok_pipelines.arrivals import ArrivalsReader
from vostok_pipelines.launch import Launcher

ROOT = Path(__file__).resolve().parents[2]
WEEK = date(2024, 3, 11)


def make_project(root: Path, history: Path, lake: str) -> Project:
    """A project on a lake whose archive and feed are there already."""
    (root / "strategies").mkdir(parents=True)
    (root / "vostok.toml").write_text(f'[lake]\nroot = "{lake}"\n{SETTINGS}')
    (root / "strategies" / "tiny.toml").write_text(STRATEGY_FILE)
    (root / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    project = find_project(root, {})
    shutil.copytree(history / "feeds", project.lake_home / "feeds")
    return project


def vostok(project: Project, *arguments: str, code: int = 0) -> str:
    """Run a command in the project, and return what it printed."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("VOSTOK_")}
    result = subprocess.run(
        [sys.executable, "-m", "vostok", *arguments],
        cwd=project.root, capture_output=True, text=True, check=False,
        env={**given, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout


def contents(lake: Lake) -> dict[str, str]:
    """The content of every partition and bundle, held against what it says of itself."""
    found = {}
    for name, table in TABLES.items():
        for keys, stat in lake.listed(name):
            named = dict(zip(table.keys, keys, strict=True))
            for info, frame in lake.read_parts(name, **named):
                assert info.kept_in or hash_frame(frame) == info.content_hash
                assert info.size == lake.objects.stat(lake.name_of(info)).size
                found[lake.name_of(info)] = info.content_hash
            assert stat.key in found
    bundle = load_bundle(bundle_path(lake, "tiny", A, WEEK))
    return found | {"bundle": bundle.sha256}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_same_files_come_to_the_same_decision_in_a_folder_and_at_s3(
    history: Path, s3_address: str, tmp_path: Path
) -> None:
    found, decisions = {}, {}
    for kind, where in (("folder", "data_lake"), ("s3", s3_address)):
        project = make_project(tmp_path / kind, history, where)
        files = str(history / "archive" / "data" / "spot" / "daily" / "aggTrades" / "AAAUSD")
        said = vostok(project, "ingest", files, "--instrument", A, "--format", "binance-aggtrades")
        assert f"materialized {FIRST} to {LAST}" in said
        weeks = ["--from", str(WEEK), "--to", str(WEEK)]
        said = vostok(project, "walk-forward", "tiny", "--instrument", A, *weeks, code=3)
        lake = project.open_lake(create=False)
        report = f"reports/tiny/{A}/2024-03-18.html"
        assert f"report: {lake.root}/{report}" in said
        assert lake.objects.read(report)[0].startswith(b"<!doctype html>")
        asked = "SELECT rule, verdict, decision FROM promotions ORDER BY rule"
        decisions[kind] = json.loads(vostok(project, "sql", asked, "--format", "json"))
        found[kind] = contents(lake)
        look = ArrivalsReader(project).look
        arrived = look(lake, project.settings.instrument(A), LAST, time.monotonic() + 60)
        assert arrived is not None
        assert (len(arrived.landed), list(arrived.open)) == (15, [])
        state = json.loads(vostok(project, "doctor", "--json"))
        lakes = [each for each in state if each["name"] == "lake"]
        assert [each["status"] for each in lakes] == ["ok"]
    assert len(found["s3"]) > 150
    assert found["s3"] == found["folder"]
    assert decisions["s3"] == decisions["folder"]
    assert {row["decision"] for row in decisions["s3"]} == {"refused"}
    assert "/.vostok/" in str(project.dagster_home)
    assert not (tmp_path / "s3" / "data_lake").exists()
    landing = ["ingest", files, "--instrument", A, "--format", "binance-aggtrades", "--land-only"]
    again = vostok(project, *landing)
    assert "landed" in again
    assert contents(lake) == found["s3"]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_run_that_was_overtaken_fails_and_undoes_nothing(
    history: Path, s3_address: str, s3_server: Server, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("DAGSTER_HOME", "/nowhere")
    with between(s3_server.port) as proxy:
        place = f'{s3_address}"\nendpoint = "{proxy.url}'
        project = make_project(tmp_path / "project", history, place)
        shutil.copytree(history / "archive", project.lake_home / "archive")
        launcher = Launcher(project)
        launcher.materialize(["landed", "ticks", "klines", "quality", "bars"], A, FIRST, FIRST)
        lake = Lake.open(s3_address)
        keys = {"instrument": A, "interval": "1m", "date": FIRST}
        bars = lake.read("bars", **keys)
        overtaking = []

        def fault(request: Request) -> None:
            if request.is_conditional and "/bars/" in request.path and not overtaking:
                overtaking.append(lake.write("bars", bars.head(7), code_version="other", **keys))

        proxy.fault = fault
        with pytest.raises(Conflict, match="run it again") as caught:
            launcher.materialize(["bars"], A, FIRST, FIRST)
        assert "run " in str(caught.value.where)
        assert lake.info("bars", **keys) == overtaking[0]
        launcher.materialize(["bars"], A, FIRST, FIRST)
        assert lake.read("bars", **keys).equals(bars)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_daemon_trades_what_was_promoted_at_s3_and_ships_there(
    s3_address: str, s3_server: Server, tmp_path: Path
) -> None:
    settings = f'[lake]\nroot = "{s3_address}"\nendpoint = "{s3_server.url}"\n'
    world = make_world(tmp_path / "project", settings=settings)
    with exchange_process(world) as url, daemon_process(world, url) as process:
        wait_for(lambda: (status := seen(world)) and status.ready)
        wait_for(lambda: (status := seen(world)) and status.money.closed >= 1)
        client.control(world.state, "flatten")
        wait_for(lambda: (status := seen(world)) and status.state == "flat")
        process.send_signal(signal.SIGTERM)
        said = process.stdout.read().decode()
        assert process.wait(60) == 0, said
    assert f"partitions into {s3_address}" in said
    lake = world.lake
    days = lake.days("live_steps", strategy=STRATEGY, instrument=NAME)
    proofs = list(prove(lake, STRATEGY, world.instrument, days))
    assert {proof.verdict for proof in proofs} == {"holds"}
    fills = query(lake, "SELECT count(*) AS fills FROM live_fills")["fills"].item()
    assert fills >= 2
    assert _local_files(world) == set()


def _local_files(world: World) -> set[str]:
    """What of the lake's tables and models lies on this machine."""
    found = {path.name for path in world.project.lake_home.rglob("*.parquet")}
    return found | {path.name for path in world.project.lake_home.rglob("manifest.json")}
