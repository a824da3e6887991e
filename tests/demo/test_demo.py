"""The demo as a person runs it: a process, a lake of its own, a result that a program reads."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import dagster as dg
import jsonschema
import psutil
import pytest

from vostok.demo import world
from vostok_core.lake.catalog import query
from vostok_core.lake.store import Lake
from vostok_core.models.registry import promoted

PROJECT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


def command(lake: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "vostok", "demo", "--lake", str(lake), *more]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The second of two runs in one lake, with another seed: nothing of the first may linger."""
    folder = tmp_path_factory.mktemp("demo")
    path = folder / "out.json"
    for seed in ("3", "11"):
        done = subprocess.run(
            command(folder / "lake", "--seed", seed, "--json", str(path)),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    words = ("promoted", "refused", "report", "make ui", "sql", "every bit equal")
    for shown in (world.EDGE, world.NULL, *words):
        assert shown in done.stdout
    return folder / "lake", json.loads(path.read_text())


def test_result_follows_the_published_schema(demo: tuple[Path, dict]) -> None:
    schema = json.loads((PROJECT / "docs" / "demo.schema.json").read_text())
    jsonschema.validate(demo[1], schema, format_checker=jsonschema.FormatChecker())
    assert demo[1]["seed"] == 11
    assert demo[1]["status"] == "done"


def test_planted_edge_is_promoted_and_the_martingale_refused(demo: tuple[Path, dict]) -> None:
    lake, result = demo
    decisions = {p["instrument"]: p for p in result["promotions"]}
    assert decisions[world.EDGE]["planted"] > 0
    assert decisions[world.EDGE]["decision"] == "promoted"
    assert decisions[world.NULL]["planted"] == 0
    assert decisions[world.NULL]["decision"] == "refused"
    assert any(rule["verdict"] == "fail" for rule in decisions[world.NULL]["rules"])
    store = Lake.open(lake)
    assert promoted(store, world.STRATEGY, world.EDGE) is not None
    assert promoted(store, world.STRATEGY, world.NULL) is None


def test_promoted_model_traded_was_killed_and_lost_nothing(demo: tuple[Path, dict]) -> None:
    live = demo[1]["live"]
    assert live["round_trips"] >= 5
    assert live["by_resting_exit"] >= 1
    assert live["killed_holding"] > 0
    assert 0 < live["events_before_kill"] < live["events"]
    assert live["reconciled"]
    found = live["audit"]
    assert int(found["fills"]) == int(found["exchange_fills"]) >= 2 * live["round_trips"]
    assert not any(found[name] for name in ("lost", "doubled", "invented", "differing", "strays"))
    assert float(found["position"]) == float(found["held"]) == 0


def test_batch_says_the_same_bits_as_the_daemon(demo: tuple[Path, dict]) -> None:
    parity = demo[1]["parity"]
    assert parity["equal"]
    assert parity["features_equal"] == parity["features_compared"] > 0
    assert parity["decisions_equal"] == parity["decisions_compared"] > 0
    assert demo[1]["reconciliation"]["findings"]


def test_its_runs_succeeded_on_the_persistent_instance(demo: tuple[Path, dict]) -> None:
    lake, result = demo
    with dg.DagsterInstance.from_config(str(lake / ".dagster")) as instance:
        for run_id in result["run_ids"]:
            run = instance.get_run_by_id(run_id)
            assert run is not None
            assert run.is_success
        days = instance.get_materialized_partitions(dg.AssetKey("bars"))
    assert len(days) == 2 * len(world.history_days()) + 1  # the day that was traded live


def test_the_lake_answers_the_query_that_is_shown(demo: tuple[Path, dict]) -> None:
    lake, result = demo
    rows = query(
        Lake.open(lake), "FROM promotions SELECT instrument, rule, value, verdict, profile_hash"
    )
    assert rows.height == sum(len(p["rules"]) for p in result["promotions"])
    assert set(rows["profile_hash"]) == {result["gate_profile_hash"]}
    assert Path(result["report"]).is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_stopped_leaves_nothing_running_and_says_so(
    tmp_path: Path, number: int
) -> None:
    out = tmp_path / "out.json"
    process = subprocess.Popen(
        command(tmp_path / "lake", "--json", str(out)),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    parent = psutil.Process(process.pid)
    below: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + 120
        while len(below) < 4 and time.monotonic() < deadline:  # two workers and their wardens
            below = [p for p in parent.children(recursive=True) if at_work(p)]
            time.sleep(0.2)
        assert len(below) == 4, "the workers didn't start"
        lease = tmp_path / "lake" / ".dagster" / "leases"
        while len(list(lease.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.2)  # until their runs go on
        assert json.loads(out.read_text())["status"] == "running"
        process.send_signal(number)
        output = process.communicate(timeout=60)[0].decode()
        assert process.returncode == (-number if number == signal.SIGKILL else 130), output
        assert "Traceback" not in output
        _, alive = psutil.wait_procs(below, timeout=60)
        assert not alive
    finally:
        for each in (process, *below):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.communicate()
    found = json.loads(out.read_text())
    jsonschema.validate(found, json.loads((PROJECT / "docs" / "demo.schema.json").read_text()))
    assert found["status"] == ("running" if number == signal.SIGKILL else "interrupted")
    assert found["promotions"] == []
    for part in (tmp_path / "lake").rglob("part-*.parquet"):
        assert part.read_bytes()[-4:] == b"PAR1"


def at_work(process: psutil.Process) -> bool:
    try:
        return "vostok.demo.worker" in process.cmdline()
    except psutil.NoSuchProcess:
        return False
