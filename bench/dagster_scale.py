"""How Dagster carries 20 instruments × 1,095 days: backfill overhead, the UI, the sensor.

Two chained assets that write nothing are materialized over the whole grid the way Vostok does it
(one run for an instrument and a contiguous range, on a persistent SQLite instance with our own
`dagster.yaml`), and some days the way it doesn't (a run a day). Then a webserver is started on
the instance and asked what the asset pages ask. Then the sensor looks at a lake and an archive
with a small file for each of those days, and last a strategy's schedule at the walk of one
instrument over them. Prints one table, with the processor time beside the wall
time, which a busy machine stretches. docs/dagster.md has the figures of one run.

    .venv/bin/python bench/dagster_scale.py [--instruments 20] [--days 1095] [--only schedules]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median

import dagster as dg

from vostok_core.features.frames import BEGINS
from vostok_core.features.registry import pack
from vostok_core.features.walk import anchor
from vostok_core.hashing import hash_file, hash_value
from vostok_core.labels.days import label_inputs
from vostok_core.labels.version import label_version
from vostok_core.lake.remembering import RememberingLake
from vostok_core.lake.tables import table
from vostok_core.market import days as market_days
from vostok_core.models.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    SEAL,
    Manifest,
    TrainingSpan,
    manifest_bytes,
    sha256_of,
)
from vostok_core.models.registry import bundle_path
from vostok_core.project import Project, find_project
from vostok_core.times import MINUTE, week_of, weeks
from vostok_pipelines.definitions import build_definitions
from vostok_pipelines.file_hashes import SETTLED_SECONDS
from vostok_pipelines.launch import prepare_instance
from vostok_pipelines.training.configuration import configuration_hash
from vostok_pipelines.training.inputs import prediction_hashes, training_hashes
from vostok_pipelines.training.window import window_days

PROJECT = Path(__file__).resolve().parents[1]
FIRST = date(2023, 1, 1)
_WEEK = timedelta(weeks=1)

_GRID = """
import warnings
import dagster as dg
warnings.simplefilter("ignore", dg.BetaWarning)  # backfill_policy
parts = dg.MultiPartitionsDefinition({{
    "date": dg.DailyPartitionsDefinition("{first}"),
    "instrument": dg.StaticPartitionsDefinition({instruments!r}),
}})
def make(name, deps):
    @dg.asset(name=name, deps=deps, partitions_def=parts,
              backfill_policy=dg.BackfillPolicy.single_run(), group_name="spike")
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        for key in context.partition_keys:
            context.add_asset_metadata({{"dagster/partition_row_count": 1}}, partition_key=key)
        return dg.MaterializeResult()
    return asset
defs = dg.Definitions(assets=[make("ticks", []), make("bars", ["ticks"])],
                      executor=dg.in_process_executor)
"""

_WALK = """
description = "Walked."
instruments = ["{name}"]
[features]
packs = ["core"]
[labels]
horizon = "1h"
[model]
train_weeks = 8
"""

_QUERIES = {
    "asset page: partition counts": """query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) {
        ... on AssetNode { partitionStats { numMaterialized numPartitions } } } }""",
    "asset page: partition ranges": """query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) {
        ... on AssetNode { assetPartitionStatuses { ... on MultiPartitionStatuses { ranges {
        primaryDimStartKey primaryDimEndKey secondaryDim { ... on DefaultPartitionStatuses {
        materializedPartitions } } } } } } } }""",
    "asset page: all partition keys": """query($k: AssetKeyInput!) {
        assetNodeOrError(assetKey: $k) { ... on AssetNode {
        partitionKeysByDimension { name partitionKeys } } } }""",
    "asset page: last materializations": """query($k: AssetKeyInput!) { assetOrError(assetKey: $k) {
        ... on Asset { assetMaterializations(limit: 50) { runId partition timestamp } } } }""",
    "lineage: asset nodes and their stats": """query { assetNodes { assetKey { path }
        partitionStats { numMaterialized } } }""",
    "runs page": "query { runsOrError(limit: 25) { ... on Runs { results { runId status } } } }",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--instruments", type=int, default=20)
    parser.add_argument("--days", type=int, default=1095)
    parser.add_argument("--only", choices=_PARTS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    names = [f"x.spot.A{i:02}-USDT" for i in range(arguments.instruments)]
    rows: list[tuple[str, str]] = []
    for part, measure in _PARTS.items():
        if arguments.only in (None, part):
            with tempfile.TemporaryDirectory() as folder:
                rows += measure(Path(folder), names, arguments.days)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(dict(rows), indent=2) + "\n")


def measure_dagster(home: Path, names: list[str], days: int) -> list[tuple[str, str]]:
    shutil.copyfile(PROJECT / "dagster.yaml", home / "dagster.yaml")
    module = home / "grid.py"
    module.write_text(_GRID.format(first=FIRST, instruments=names))
    os.environ["DAGSTER_HOME"] = str(home)
    sys.path.insert(0, str(home))
    import grid

    last = FIRST + timedelta(days=days - 1)
    rows = [("grid", f"{len(names)} instruments x {days} days x 2 assets")]
    job = grid.defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        began, worked = time.monotonic(), time.process_time()
        for name in names:
            print(f"{time.monotonic() - began:7.1f} s  {name}", file=sys.stderr)
            _run(job, instance, f"{FIRST}|{name}", f"{last}|{name}")
        whole = time.monotonic() - began
        cells = len(names) * days * 2
        each = f"{whole / cells * 1e3:.1f} ms each"
        rows.append(("backfill, one run an instrument", f"{whole:.1f} s, {each}"))
        busy = time.process_time() - worked
        rows.append(("of it on the processor", f"{busy:.1f} s, {busy / cells * 1e3:.1f} ms each"))
        began = time.monotonic()
        sample = 20
        for offset in range(sample):
            key = f"{FIRST + timedelta(days=offset)}|{names[0]}"
            _run(job, instance, key, key)
        single = (time.monotonic() - began) / sample
        rows.append(("the same, a run a day, in a warm process", f"{single * 1e3:.0f} ms a run"))
        process = _process_seconds(home)
        rows.append(("starting a process for a run", f"{process:.1f} s"))
        total = (process + single) * len(names) * days / 3600
        rows.append(("so the backfill, a run and process a day", f"{total:.1f} h (extrapolated)"))
    rows.append(("instance on disk", f"{_size(home) / 1e6:.0f} MB"))
    return rows + _ask_webserver(home, module)


def _run(job: dg.JobDefinition, instance: dg.DagsterInstance, first: str, last: str) -> None:
    result = job.execute_in_process(
        instance=instance,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
        },
    )
    assert result.success


def _process_seconds(home: Path) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import grid; grid.defs"], cwd=home, check=True)
    return time.monotonic() - began


def _size(home: Path) -> int:
    return sum(path.stat().st_size for path in home.rglob("*") if path.is_file())


def _ask_webserver(home: Path, module: Path) -> list[tuple[str, str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("dagster-webserver")),
        *("-f", str(module), "-h", "127.0.0.1", "-p", str(port)),
    ]
    server = subprocess.Popen(
        command, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    rows = []
    try:
        began = time.monotonic()
        _wait(port)
        rows.append(("webserver: start to first answer", f"{time.monotonic() - began:.1f} s"))
        for name, query in _QUERIES.items():
            cold = _ask(port, query)
            warm = median(_ask(port, query) for _ in range(5))
            rows.append((f"webserver: {name}", f"{cold:.2f} s cold, {warm:.2f} s warm"))
    finally:
        server.terminate()
        server.wait(20)
    return rows


def measure_sensor(root: Path, names: list[str], days: int) -> list[tuple[str, str]]:
    rules = 'tick = "trade"\nprice_tick = "0.1"\nquantity_step = "0.1"\n'
    settings = "".join(f'[instruments."{name}"]\n{rules}' for name in names)
    general = f'[calendar]\nstart = {FIRST}\n[sources.archives]\nx = "archive"\n'
    (root / "vostok.toml").write_text(general + settings)
    (root / "strategies").mkdir()
    project = find_project(root, {})
    for name in names:
        print(f"making the days of {name}", file=sys.stderr)
        _make_days(project, name, [FIRST + timedelta(n) for n in range(days)])
    time.sleep(SETTLED_SECONDS)  # what is newer than that is read at every look
    rows = [("sensor: archive and lake", f"{len(names)} instruments x {days} days, all made")]
    with dg.DagsterInstance.from_config(str(prepare_instance(project))) as instance:
        for title in ("new process, empty cache", "new process"):
            definitions = build_definitions(project)
            looks = [_look(definitions, instance)]
            while not looks[-1][1]:  # it reads for 20 s at a time
                looks.append(_look(definitions, instance))
            said = f"{sum(seconds for seconds, _ in looks):.2f} s in {len(looks)} looks"
            rows.append((f"sensor: until all is known, {title}", said))
        later = median(_look(definitions, instance)[0] for _ in range(5))
        rows.append(("sensor: every later look", f"{later:.2f} s"))
    return rows


def _make_days(project: Project, name: str, days: list[date]) -> None:
    """Small files and partitions without rows, whose footers say what real ones say."""
    synced, os.fsync = os.fsync, lambda _descriptor: None  # it is all thrown away
    lake = project.open_lake()
    instrument = project.settings.instrument(name)
    symbol = instrument.id.symbol
    archive = project.archive(instrument)
    assert archive is not None
    folder = archive / f"data/spot/daily/trades/{symbol}"
    folder.mkdir(parents=True)
    kinds = ("raw_trades", "ticks", "quality", "bars", "features")
    empty = {kind: table(kind).empty() for kind in kinds}
    core, version = pack("core"), market_days.CODE_VERSION
    before = {f"ticks/{days[0] - timedelta(1)}": market_days.NOTHING}
    for day in days:
        file = folder / f"{symbol}-trades-{day}.zip"
        file.write_text(file.name)
        os.utime(file, (0, 0))
        place = {"instrument": name, "date": day}
        part = hash_file(file)[:16]
        raw = lake.write("raw_trades", empty["raw_trades"], code_version="1", part=part, **place)
        inputs = {f"raw_trades/{day}/part-{part}": raw.content_hash, **before}
        ticks = lake.write("ticks", empty["ticks"], code_version=version, inputs=inputs, **place)
        quality = lake.write(
            "quality", empty["quality"], code_version=version, inputs=inputs, **place
        )
        own = {f"ticks/{day}": ticks.content_hash}
        inputs = {f"quality/{day}": quality.content_hash, **own, **before}
        before = own
        for interval in project.settings.bars.intervals:
            timed = place | {"interval": interval}
            bars = lake.write("bars", empty["bars"], code_version=version, inputs=inputs, **timed)
        begin = max(anchor(day, core.warmup, MINUTE), days[0])
        walked = {"bars": hash_value([bars.content_hash] * ((day - begin).days + 1))}
        if begin == days[0]:
            walked[BEGINS] = str(begin)
        timed = place | {"interval": "1m", "pack": "core"}
        lake.write("features", empty["features"], code_version=core.hash, inputs=walked, **timed)
    os.fsync = synced


def _look(definitions: dg.Definitions, instance: dg.DagsterInstance) -> tuple[float, bool]:
    """Seconds of one evaluation of the sensor, which finds nothing to do; whether it is through."""
    name = "new_trade_files"
    sensor = definitions.get_repository_def().get_sensor_def(name)
    began = time.monotonic()
    with dg.build_sensor_context(
        instance=instance, definitions=definitions, sensor_name=name
    ) as context:
        found = sensor.evaluate_tick(context)
    seconds = time.monotonic() - began
    assert not found.run_requests, found
    assert found.skip_message is not None, found
    through = found.skip_message == "every day that has come is made"
    assert through or "goes on at the next look" in found.skip_message, found
    return seconds, through


def measure_schedules(root: Path, names: list[str], days: int) -> list[tuple[str, str]]:
    name = names[0]
    rules = 'tick = "trade"\nprice_tick = "0.1"\nquantity_step = "0.1"\n'
    general = f'[calendar]\nstart = {FIRST}\n[sources.archives]\nx = "archive"\n'
    (root / "vostok.toml").write_text(f'{general}[instruments."{name}"]\n{rules}')
    (root / "strategies").mkdir()
    (root / "strategies" / "walk.toml").write_text(_WALK.format(name=name))
    project = find_project(root, {})
    made = [FIRST + timedelta(n) for n in range(days)]
    _make_days(project, name, made)
    walked = list(weeks(week_of(FIRST) + 10 * _WEEK, week_of(made[-1]) - _WEEK))
    print(f"making a walk of {len(walked)} weeks", file=sys.stderr)
    _make_walk(project, name, made, walked)
    time.sleep(SETTLED_SECONDS)
    rows = [("schedule: walk", f"1 instrument, {len(walked)} weeks of 8 weeks of training")]
    with dg.DagsterInstance.from_config(str(prepare_instance(project))) as instance:
        repository = build_definitions(project).get_repository_def()
        schedule = repository.get_schedule_def("walk_weekly_predictions")
        moment = datetime.combine(walked[-1] + _WEEK, datetime.min.time(), UTC)
        for title in ("first look, new process", "every later look"):
            began, worked = time.monotonic(), time.process_time()
            with dg.build_schedule_context(
                instance=instance, scheduled_execution_time=moment, repository_def=repository
            ) as context:
                found = schedule.evaluate_tick(context)
            assert found.skip_message == (
                "no week has ended that has a model and features and no predictions"
            ), found
            wall, busy = time.monotonic() - began, time.process_time() - worked
            rows.append((f"schedule: {title}", f"{wall:.2f} s, {busy:.2f} s on the processor"))
    return rows


def _make_walk(project: Project, name: str, made: list[date], walked: list[date]) -> None:
    """Labels, bundles and predictions without rows, whose footers say what real ones say."""
    synced, os.fsync = os.fsync, lambda _descriptor: None
    strategy, item = project.strategies["walk"], project.settings.instrument(name)
    configuration = configuration_hash(strategy, item, project.settings)
    lake, place = project.open_lake(), {"strategy": "walk", "instrument": name}
    looked, empty = RememberingLake.of(lake), table("labels").empty()
    for day in made[:-1]:
        inputs = label_inputs(looked, strategy, item, day, [day, day + timedelta(1)])
        version = label_version(strategy, item)
        lake.write("labels", empty, code_version=version, inputs=inputs, **place, date=day)
    looked, empty = RememberingLake(lake.root), table("predictions").empty()
    for week in walked:
        used, _ = window_days(made, strategy, week, week)
        own = {"schema_version": SCHEMA_VERSION, "configuration": configuration}
        empties = {"files": {}, "packs": {}, "settings": {}, "platform": {}, "versions": {}}
        span = dict.fromkeys(TrainingSpan.model_fields, 0) | {"days_without_data": ()}
        numbers = dict.fromkeys(("threshold", "mean_win", "mean_loss"), 0.5)
        manifest = Manifest(
            **dict.fromkeys(Manifest.model_fields, "x")
            | {"features": ("x",), "calibration": "sigmoid", "training": TrainingSpan(**span)}
            | {"inputs": training_hashes(looked, strategy, name, used), **own, **empties, **numbers}
        )
        content = manifest_bytes(manifest)
        folder = bundle_path(lake, "walk", name, week)
        folder.mkdir(parents=True)
        (folder / MANIFEST).write_bytes(content)
        (folder / SEAL).write_text(f"{sha256_of(content)}\n")
        days = [week + timedelta(n) for n in range(-1, 7)]
        inputs = prediction_hashes(looked, strategy, name, days) | {"model": sha256_of(content)}
        lake.write(
            "predictions", empty, code_version=configuration, inputs=inputs, **place, week=week
        )
    os.fsync = synced


def _wait(port: int) -> None:
    for _ in range(120):
        try:
            _ask(port, "query { version }")
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise SystemExit("the webserver didn't start")


def _ask(port: int, query: str) -> float:
    body = json.dumps({"query": query, "variables": {"k": {"path": ["bars"]}}}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"}
    )
    began = time.monotonic()
    with urllib.request.urlopen(request, timeout=120) as response:
        answer = json.load(response)
    assert "errors" not in answer, answer
    return time.monotonic() - began


_PARTS = {
    "dagster": measure_dagster,
    "sensor": measure_sensor,
    "schedules": measure_schedules,
}

if __name__ == "__main__":
    main()
