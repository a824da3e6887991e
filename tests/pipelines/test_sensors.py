"""The sensor on real files, a real instance and real runs: what it asks for, and what not."""

from __future__ import annotations

import io
import os
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from vostok_core.errors import MissingPartition, SourceFormatError
from vostok_core.lake.tables import table
from vostok_core.market.days import LANDING_VERSION, ORDER
from vostok_core.project import Project, find_project
from vostok_core.times import days
from vostok_exchange.archive import archive_path
from vostok_pipelines.asked import ATTEMPTS, CONTENT, WHAT
from vostok_pipelines.definitions import build_definitions
from vostok_pipelines.file_hashes import FileHashes
from vostok_pipelines.jobs import day_assets
from vostok_pipelines.landing import land
from vostok_pipelines.launch import Launcher
from vostok_pipelines.partitions import RANGE_END, RANGE_START, date_key, range_tags

A, B, K = "test.spot.AAA-USD", "test.spot.BBB-USD", "test.spot.KKK-USD"
FIRST = date(2024, 3, 4)
DAYS = list(days(FIRST, date(2024, 3, 7)))
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC).timestamp()


class Place:
    """The small project with an archive of its own, and what its sensor says of it."""

    def __init__(self, project: Project, instance: dg.DagsterInstance) -> None:
        self.project = project
        self.instance = instance
        self.archive = project.lake_root / "archive"
        self.away: dict[Path, bytes] = {}
        self.restart()

    def restart(self) -> None:
        """What a new process of the code server begins with."""
        self.definitions = build_definitions(self.project)

    def path(self, day: date, base: str = "AAA") -> Path:
        return archive_path(self.archive, f"{base}USD", day)

    def put(self, path: Path, content: bytes, mtime: float = LONG_AGO) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # it may be a link to what other tests use
        path.write_bytes(content)
        os.utime(path, (mtime, mtime))

    def arrive(self, day: date, base: str = "AAA", mtime: float = LONG_AGO) -> None:
        """Put the day's file where it was taken away from."""
        path = self.path(day, base)
        self.put(path, self.away.pop(path), mtime)

    def look(self) -> tuple[list[dg.RunRequest], str]:
        """One evaluation: requests, and why there is none."""
        sensor = self.definitions.get_repository_def().get_sensor_def("new_trade_files")
        with dg.build_sensor_context(
            instance=self.instance, definitions=self.definitions, sensor_name="new_trade_files"
        ) as context:
            data = sensor.evaluate_tick(context)
        assert data.cursor is None
        return list(data.run_requests or []), data.skip_message or ""

    def spans(self) -> list[tuple[str, str]]:
        requests, _ = self.look()
        return [(r.tags[RANGE_START], r.tags[RANGE_END]) for r in requests]

    def run(self, request: dg.RunRequest) -> bool:
        """Do what the daemon does with a request; says whether the run succeeded."""
        job = self.definitions.resolve_job_def("ingest")
        result = job.execute_in_process(
            instance=self.instance,
            tags={**request.tags, "dagster/run_key": request.run_key},
            asset_selection=list(request.asset_selection or []),
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        return result.success

    def made(self) -> list[date]:
        return self.project.open_lake().days("bars", instrument=A, interval="1m")


def span(first: date, last: date, name: str = A) -> tuple[str, str]:
    return date_key(first, name), date_key(last, name)


@pytest.fixture
def place(project: Project) -> Iterator[Place]:
    """Four days of news that are scored, and no trade file: they are taken away to arrive."""
    Launcher(project).materialize(["news", "sentiment_scores"], None, DAYS[0], DAYS[-1])
    with dg.DagsterInstance.from_config(str(project.dagster_home)) as instance:
        place = Place(project, instance)
        for path in place.archive.rglob("*.zip"):
            place.away[path] = path.read_bytes()
            path.unlink()
        yield place


def test_a_new_file_is_asked_for_until_a_run_has_made_its_day(place: Place) -> None:
    assert place.look() == ([], "every day that has come is made")
    for day in DAYS[:2]:
        place.arrive(day)
    [request], _ = place.look()
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == span(DAYS[0], DAYS[1])
    assert {key.to_user_string() for key in request.asset_selection or ()} == set(
        day_assets(place.project, A)
    )
    again = place.look()[0]
    assert [r.run_key for r in again] == [request.run_key]  # which Dagster runs once
    assert place.run(request)
    assert place.made() == DAYS[:2]
    assert place.look() == ([], "every day that has come is made")


def test_a_touched_file_is_not_a_new_one(place: Place) -> None:
    place.arrive(DAYS[0])
    [request], _ = place.look()
    assert place.run(request)
    for moment in (LONG_AGO + 1e6, time.time() - 60):
        os.utime(place.path(DAYS[0]), (moment, moment))
        assert place.spans() == []
    place.put(place.path(DAYS[0]), place.path(DAYS[0]).read_bytes())  # and so is a copy
    assert place.spans() == []


def test_a_corrected_file_is_asked_for_with_the_days_that_remember_it(place: Place) -> None:
    whole = place.away[place.path(DAYS[1])]
    place.away[place.path(DAYS[1])] = shorter = without_last_trades(whole)
    for day in DAYS:
        place.arrive(day)
    [first], _ = place.look()
    assert place.run(first)
    ticks = {"instrument": A, "date": DAYS[1]}
    before = place.project.open_lake().info("ticks", **ticks).rows
    os.utime(place.path(DAYS[1]), (LONG_AGO, LONG_AGO))
    place.put(place.path(DAYS[1]), whole)  # of the same mtime
    [second], _ = place.look()
    assert (second.tags[RANGE_START], second.tags[RANGE_END]) == span(DAYS[1], DAYS[-1])
    assert second.run_key != first.run_key
    assert place.run(second)
    assert place.project.open_lake().info("ticks", **ticks).rows == before + 5
    assert place.spans() == []
    # What the first file alone held is gone, and comes back with it.
    place.put(place.path(DAYS[1]), shorter)
    [third], _ = place.look()
    assert place.run(third)
    assert place.project.open_lake().info("ticks", **ticks).rows == before
    assert place.spans() == []


def test_a_late_file_is_asked_for_however_old_it_is(place: Place) -> None:
    for day in (DAYS[0], DAYS[2]):
        place.arrive(day)
    requests, _ = place.look()
    assert all(place.run(request) for request in requests)
    place.arrive(DAYS[1], mtime=LONG_AGO - 1e8)
    [request], _ = place.look()
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == span(DAYS[1], DAYS[2])
    assert place.run(request)
    assert place.spans() == []


def test_days_that_are_not_partitions_are_left_alone(place: Place) -> None:
    content = place.away[place.path(FIRST)]
    today = datetime.now(UTC).date()
    for day in (today, today + timedelta(days=1), FIRST - timedelta(days=1)):
        place.put(place.path(day), content)
    lake, nothing = place.project.open_lake(), table("raw_trades").empty()
    for day in (today, FIRST - timedelta(days=1)):
        lake.write("raw_trades", nothing, code_version="t", part="a", instrument=A, date=day)
    assert place.spans() == []
    yesterday = today - timedelta(days=1)
    place.put(place.path(yesterday), content)
    # Yesterday is one; there are no news of it yet.
    assert place.look()[1].startswith(f"1 day of {A} wait for their news to be scored, first 2")


def test_a_file_that_is_still_being_written_is_left_for_the_next_look(place: Place) -> None:
    place.arrive(DAYS[0], mtime=time.time() + 60)
    assert place.spans() == []
    os.utime(place.path(DAYS[0]), (LONG_AGO, LONG_AGO))
    assert place.spans() == [span(DAYS[0], DAYS[0])]


@pytest.mark.parametrize("damage", ["gone", "torn", "of another shape"])
def test_without_its_cache_the_sensor_says_the_same(place: Place, damage: str) -> None:
    for day in DAYS[:3]:
        place.arrive(day)
    [request], _ = place.look()
    assert place.run(request)
    place.arrive(DAYS[3])
    place.put(place.path(DAYS[1]), without_last_trades(place.path(DAYS[1]).read_bytes()))
    warm, _ = place.look()
    [cache] = place.project.dagster_home.glob("archive-hashes.json")
    if damage == "gone":
        cache.unlink()
    else:
        text = cache.read_text()
        cache.write_text(text[: len(text) // 2] if damage == "torn" else "[1, 2]")
    place.restart()
    cold, _ = place.look()
    assert len(cold) == 1
    assert [(r.run_key, r.tags) for r in cold] == [(r.run_key, r.tags) for r in warm]


def test_a_malformed_day_does_not_keep_the_others_of_its_range_from_being_made(
    place: Place,
) -> None:
    whole = place.away[place.path(DAYS[1])]
    place.away[place.path(DAYS[1])] = whole[:-200]
    for day in DAYS[:3]:
        place.arrive(day)
    [broken], _ = place.look()
    assert (broken.tags[RANGE_START], broken.tags[RANGE_END]) == span(DAYS[0], DAYS[2])
    assert not place.run(broken)
    assert place.project.open_lake().days("raw_trades", instrument=A) == [DAYS[0], DAYS[2]]
    [run] = place.instance.get_runs(dg.RunsFilter(tags={WHAT: f"days of {A}"}))
    requests, _ = place.look()
    assert [(r.tags[RANGE_START], r.tags[RANGE_END]) for r in requests] == [
        span(DAYS[0], DAYS[0]),
        span(DAYS[2], DAYS[2]),
    ]
    assert all(place.run(request) for request in requests)
    assert place.made() == [DAYS[0], DAYS[2]]
    why = f"1 day of {A} can't be used, run {run.run_id[:8]} says why, first {DAYS[1]}"
    assert place.look() == ([], why)
    # A further day doesn't wait for it, and doesn't make it be asked for again.
    place.arrive(DAYS[3])
    [further], _ = place.look()
    assert (further.tags[RANGE_START], further.tags[RANGE_END]) == span(DAYS[3], DAYS[3])
    assert place.run(further)
    place.restart()
    assert place.look() == ([], why)
    place.put(place.path(DAYS[1]), whole)
    [mended], _ = place.look()
    assert (mended.tags[RANGE_START], mended.tags[RANGE_END]) == span(DAYS[1], DAYS[3])
    assert place.run(mended)
    assert place.look() == ([], "every day that has come is made")


def test_every_malformed_day_of_a_range_is_told_with_its_file(place: Place) -> None:
    for day in DAYS[:3]:
        place.away[place.path(day)] = place.away[place.path(day)][:-200] if day != DAYS[1] else b""
        place.arrive(day)
    place.arrive(DAYS[3])
    launcher = Launcher(place.project)
    with pytest.raises(SourceFormatError) as caught:
        launcher.materialize(["landed"], A, DAYS[0], DAYS[-1])
    assert caught.value.what.startswith("3 days can't be used: ")
    for day in DAYS[:3]:
        assert f"{A} {day}: " in caught.value.what
        assert f"({place.path(day)})" in caught.value.what
    assert caught.value.hint
    assert place.project.open_lake().days("raw_trades", instrument=A) == [DAYS[3]]
    for day in DAYS[:3]:
        place.path(day).unlink()
    with pytest.raises(MissingPartition) as absent:
        launcher.materialize(["landed"], A, DAYS[0], DAYS[-1])
    told = f"{A} {DAYS[0]} to {DAYS[2]}: nothing has landed for {A} on {DAYS[0]}"
    assert absent.value.what == f"3 days can't be used: {told} ({place.archive})"


def test_days_after_one_that_can_not_be_merged_wait_for_it(place: Place) -> None:
    for day in DAYS[:3]:
        place.arrive(day)
    Launcher(place.project).materialize(["landed"], A, DAYS[0], DAYS[2])
    contradict(place, DAYS[1])
    [broken], _ = place.look()
    assert not place.run(broken)
    [run] = place.instance.get_runs(dg.RunsFilter(tags={WHAT: f"days of {A}"}))
    [before], _ = place.look()
    assert (before.tags[RANGE_START], before.tags[RANGE_END]) == span(DAYS[0], DAYS[0])
    assert place.run(before)
    assert place.made() == [DAYS[0]]
    unusable = f"1 day of {A} can't be used, run {run.run_id[:8]} says why, first {DAYS[1]}"
    assert place.look() == (
        [],
        f"{unusable}; 1 day of {A} wait for the day before, where they begin, first {DAYS[2]}",
    )
    # A further day doesn't make any be asked for, however many runs there have been since.
    place.arrive(DAYS[3])
    for number in range(120):
        tags = range_tags(*span(DAYS[0], DAYS[0])) | {WHAT: f"days of {A}", CONTENT: str(number)}
        run = dg.DagsterRun("ingest", tags=tags, status=dg.DagsterRunStatus.SUCCESS)
        place.instance.add_run(run)
    assert place.look() == (
        [],
        f"{unusable}; 2 days of {A} wait for the day before, where they begin, first {DAYS[2]}",
    )
    parts = place.project.open_lake().parts("raw_trades", instrument=A, date=DAYS[1])
    [other] = [part.path for part in parts if part.path.stem == "part-other"]
    other.unlink()
    [mended], _ = place.look()
    assert (mended.tags[RANGE_START], mended.tags[RANGE_END]) == span(DAYS[1], DAYS[3])
    assert place.run(mended)
    assert place.look() == ([], "every day that has come is made")


def test_a_run_that_was_killed_is_asked_for_a_few_times(place: Place) -> None:
    for day in DAYS[:2]:
        place.arrive(day)
    keys = set()
    for _ in range(ATTEMPTS):
        [request], _ = place.look()
        keys.add(request.run_key)
        assert (request.tags[RANGE_START], request.tags[RANGE_END]) == span(DAYS[0], DAYS[1])
        run = place.instance.create_run_for_job(
            place.definitions.resolve_job_def("ingest"),
            status=dg.DagsterRunStatus.STARTED,
            tags=request.tags,
        )
        (place.project.dagster_home / "leases").mkdir(exist_ok=True)
        (place.project.dagster_home / "leases" / run.run_id).touch()
    assert len(keys) == ATTEMPTS
    requests, why = place.look()
    assert requests == []
    assert why.startswith(f"2 days of {A} won't be asked for again until")
    assert f"run {run.run_id[:8]} is the last of 3" in why
    command = re.search(r"`vostok materialize (\S+) --instrument (\S+) --from \S+ --to (\S+)`", why)
    assert command is not None
    # A further day is asked for by itself; another file of the first has all asked for afresh.
    place.arrive(DAYS[2])
    assert place.spans() == [span(DAYS[2], DAYS[2])]
    content = place.path(DAYS[0]).read_bytes()
    place.put(place.path(DAYS[0]), without_last_trades(content))
    assert place.spans() == [span(DAYS[0], DAYS[2])]
    place.put(place.path(DAYS[0]), content)
    assert place.spans() == [span(DAYS[2], DAYS[2])]
    Launcher(place.project).materialize(
        command[1].split(","), command[2], DAYS[0], date.fromisoformat(command[3])
    )
    assert place.spans() == [span(DAYS[2], DAYS[2])]


def test_a_day_that_was_merged_and_has_no_bars_is_not_made(place: Place) -> None:
    for day in DAYS[:3]:
        place.arrive(day)
    launcher = Launcher(place.project)
    launcher.materialize(["landed", "ticks", "quality"], A, DAYS[0], DAYS[2])
    launcher.materialize(["bars"], A, DAYS[1], DAYS[2])
    assert place.spans() == [span(DAYS[0], DAYS[2])]


def test_a_day_that_was_merged_again_has_no_bars_of_it(place: Place) -> None:
    whole = place.away[place.path(DAYS[0])]
    place.away[place.path(DAYS[0])] = without_last_trades(whole)
    for day in DAYS[:2]:
        place.arrive(day)
    [request], _ = place.look()
    assert place.run(request)
    place.put(place.path(DAYS[0]), whole)
    launcher = Launcher(place.project)
    launcher.materialize(["landed", "ticks", "quality"], A, DAYS[0], DAYS[0])
    assert place.spans() == [span(DAYS[0], DAYS[1])]
    launcher.materialize(["bars"], A, DAYS[0], DAYS[0])
    assert place.spans() == [span(DAYS[0], DAYS[1])]  # its features are those of other bars
    launcher.materialize(["features"], A, DAYS[0], DAYS[0])
    assert place.spans() == [span(DAYS[1], DAYS[1])]  # it began where the day before ended


def test_a_day_is_made_when_every_link_of_its_chain_is(place: Place) -> None:
    for day in DAYS[:2]:
        place.arrive(day)
    launcher = Launcher(place.project)
    chain = [name for name in day_assets(place.project, A) if name != "features/core"]
    launcher.materialize(chain, A, DAYS[0], DAYS[1])
    assert place.spans() == [span(DAYS[0], DAYS[1])]
    launcher.materialize(["features/core"], A, DAYS[0], DAYS[1])
    assert place.spans() == []


def test_days_of_other_rules_of_the_exchange_are_made_again(place: Place) -> None:
    for day in DAYS[:2]:
        place.arrive(day)
    [request], _ = place.look()
    assert place.run(request)
    assert place.look() == ([], "every day that has come is made")
    path = place.project.root / "vostok.toml"
    path.write_text(path.read_text().replace('max_silence = "30m"', 'max_silence = "31m"'))
    place.project = find_project(place.project.root, {})
    place.restart()
    [again], _ = place.look()
    assert (again.tags[RANGE_START], again.tags[RANGE_END]) == span(DAYS[0], DAYS[1])
    assert again.run_key != request.run_key
    assert place.run(again)
    assert place.look() == ([], "every day that has come is made")


def test_bars_that_began_without_the_day_before_are_made_again(place: Place) -> None:
    for day in DAYS[1:3]:
        place.arrive(day)
    [request], _ = place.look()
    assert place.run(request)
    place.arrive(DAYS[0])
    launcher = Launcher(place.project)
    launcher.materialize(day_assets(place.project, A), A, DAYS[0], DAYS[0])
    assert place.spans() == [span(DAYS[1], DAYS[2])]


def test_what_has_not_been_swapped_is_not_read_again(place: Place) -> None:
    for day in DAYS[:2]:
        place.arrive(day)
    [request], _ = place.look()
    assert place.run(request)
    lake = place.project.open_lake()
    for folder in lake.root.rglob("date=*"):
        os.utime(folder, (LONG_AGO, LONG_AGO))
    assert place.spans() == []
    ticks = lake.partition("ticks", instrument=A, date=DAYS[0]) / "part-0.parquet"
    content = ticks.read_bytes()
    ticks.write_bytes(b"torn")  # in place, as nothing of Vostok writes: the folder stays as it was
    assert place.spans() == []
    place.restart()
    requests, why = place.look()
    assert requests == []
    assert why.startswith(f"{A} can't be looked at: {ticks}: ")
    assert "Hint: " in why
    ticks.write_bytes(content)
    assert place.spans() == []
    place.put(place.path(DAYS[0]), without_last_trades(place.path(DAYS[0]).read_bytes()))
    Launcher(place.project).materialize(["landed"], A, DAYS[0], DAYS[0])
    place.path(DAYS[0]).unlink()
    assert place.spans() == [span(DAYS[0], DAYS[1])]


def test_what_does_not_read_of_one_instrument_keeps_no_other_waiting(place: Place) -> None:
    place.arrive(DAYS[0], "BBB")
    place.path(DAYS[0]).mkdir(parents=True)  # where the archive's file belongs
    os.utime(place.path(DAYS[0]), (LONG_AGO, LONG_AGO))
    [request], _ = place.look()
    assert request.tags[RANGE_START] == date_key(DAYS[0], B)
    assert place.run(request)
    requests, why = place.look()
    assert requests == []
    assert why.startswith(f"{A} can't be looked at: ")
    assert str(place.path(DAYS[0])) in why


def test_an_instrument_with_an_unfinished_run_waits_for_it(place: Place) -> None:
    place.arrive(DAYS[0])
    place.arrive(DAYS[0], "BBB")
    assert place.spans() == [span(DAYS[0], DAYS[0]), span(DAYS[0], DAYS[0], B)]
    job = place.definitions.resolve_job_def("ingest")
    one, other = (
        place.instance.create_run_for_job(
            job, status=dg.DagsterRunStatus.STARTED, tags=range_tags(*span(DAYS[0], DAYS[2], name))
        )
        for name in (A, B)
    )
    requests, why = place.look()
    assert requests == []
    assert why == f"a run of {A} is under way; a run of {B} is under way"
    place.instance.report_run_canceled(one)
    assert place.spans() == [span(DAYS[0], DAYS[0])]
    place.instance.report_run_failed(other)
    assert place.spans() == [span(DAYS[0], DAYS[0]), span(DAYS[0], DAYS[0], B)]


def test_a_run_whose_process_was_killed_is_not_waited_for(place: Place) -> None:
    place.arrive(DAYS[0])
    run = place.instance.create_run_for_job(
        place.definitions.resolve_job_def("ingest"),
        status=dg.DagsterRunStatus.STARTED,
        tags=range_tags(*span(DAYS[0], DAYS[0])),
    )
    assert place.spans() == []
    (place.project.dagster_home / "leases" / run.run_id).touch()  # and nobody has locked it
    assert place.spans() == [span(DAYS[0], DAYS[0])]


def test_a_run_over_several_instruments_keeps_all_of_them_waiting(place: Place) -> None:
    place.arrive(DAYS[0], "BBB")
    tags = range_tags(date_key(DAYS[0], A), date_key(DAYS[0], K))
    job = place.definitions.resolve_job_def("ingest")
    place.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
    assert place.spans() == []


def test_a_day_waits_until_its_news_are_scored(place: Place) -> None:
    later = DAYS[-1] + timedelta(days=1)
    place.arrive(DAYS[-1])
    place.arrive(later)
    assert place.spans() == [span(DAYS[-1], DAYS[-1])]
    Launcher(place.project).materialize(["news", "sentiment_scores"], None, later, later)
    assert place.spans() == [span(DAYS[-1], later)]


def test_what_was_landed_by_hand_is_asked_for(place: Place) -> None:
    place.arrive(DAYS[0])
    Launcher(place.project).materialize(["landed"], A, DAYS[0], DAYS[0])
    place.path(DAYS[0]).unlink()
    assert place.spans() == [span(DAYS[0], DAYS[0])]


def test_a_further_file_that_was_landed_by_hand_is_asked_for(place: Place) -> None:
    whole = place.away[place.path(DAYS[0])]
    place.away[place.path(DAYS[0])] = without_last_trades(whole)
    place.arrive(DAYS[0])
    [first], _ = place.look()
    assert place.run(first)
    place.put(place.path(DAYS[0]), whole)
    Launcher(place.project).materialize(["landed"], A, DAYS[0], DAYS[0])
    place.path(DAYS[0]).unlink()
    [second], _ = place.look()
    assert second.run_key != first.run_key
    assert place.run(second)
    assert place.spans() == []


def test_what_took_the_place_of_the_archives_file_by_hand_stays(
    place: Place, tmp_path: Path
) -> None:
    place.arrive(DAYS[0])
    [first], _ = place.look()
    assert place.run(first)
    mended = tmp_path / "mended.zip"
    mended.write_bytes(without_last_trades(place.path(DAYS[0]).read_bytes()))
    lake = place.project.open_lake()
    before = lake.info("ticks", instrument=A, date=DAYS[0]).rows
    instrument = place.project.settings.universe[A]
    land(lake, mended, instrument, "binance-aggtrades", replace=True)
    [second], _ = place.look()
    assert place.run(second)
    assert lake.info("ticks", instrument=A, date=DAYS[0]).rows == before - 5
    assert place.spans() == []


def test_what_other_readers_read_is_read_again_or_must_be_ingested_again(place: Place) -> None:
    for day in DAYS[:2]:
        place.arrive(day)
    [first], _ = place.look()
    assert place.run(first)
    lake = place.project.open_lake()
    for day in DAYS[:2]:
        [(info, frame)] = lake.read_parts("raw_trades", instrument=A, date=day)
        lake.write(
            "raw_trades",
            frame.head(100),  # as other readers read it
            code_version="0",
            inputs=info.inputs,
            part=info.path.stem.removeprefix("part-"),
            instrument=A,
            date=day,
        )
    by_hand = place.archive.parent / "by_hand.zip"
    place.path(DAYS[1]).rename(by_hand)
    shutil.rmtree(lake.partition("ticks", instrument=A, date=DAYS[1]))
    [second], _ = place.look()
    assert not place.run(second)
    [info] = lake.parts("raw_trades", instrument=A, date=DAYS[0])
    assert (info.code_version, info.rows > 100) == (LANDING_VERSION, True)
    requests, note = place.look()
    assert requests == []  # of the first day, all is as it was made
    assert f"1 day of {A} can't be used, run " in note
    instrument = place.project.settings.universe[A]
    land(lake, by_hand, instrument, "binance-aggtrades")
    [fourth], _ = place.look()
    assert place.run(fourth)
    assert place.made() == DAYS[:2]
    assert place.spans() == []


def test_klines_are_asked_for(place: Place) -> None:
    folder = place.archive / "data/spot/daily/klines/KKKUSD/1m"
    row = b"1709510400000,10,12,9,11,5,1709510459999,55,3,2,22,0\n"
    place.put(folder / "KKKUSD-1m-2024-03-04.csv", row)
    [request], _ = place.look()
    assert request.tags[RANGE_END] == date_key(FIRST, K)
    assert place.run(request)
    assert place.spans() == []


def test_hashes_are_read_once_and_again_when_the_stat_has_changed(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b")]
    for file in files:
        file.write_text(file.name)
        os.utime(file, (LONG_AGO, LONG_AGO))
    never, now = float("inf"), float("-inf")
    hashes = FileHashes(tmp_path / "cache")
    assert hashes.read("x", files, now) is None
    first = hashes.read("x", files, never)
    assert first is not None
    assert hashes.read("x", files, now) == first
    assert FileHashes(tmp_path / "cache").read("x", files, now) == first
    files[0].write_text("c")  # of the same size, and with the same mtime:
    os.utime(files[0], (LONG_AGO, LONG_AGO))
    assert hashes.read("x", files, now) is None
    second = hashes.read("x", files, never)
    assert second is not None
    assert second[files[0]] != first[files[0]]
    assert second[files[1]] == first[files[1]]


def test_reading_that_was_broken_off_goes_on_where_it_stopped(tmp_path: Path) -> None:
    file, other = tmp_path / "a", tmp_path / "b"
    for path in (file, other):
        path.write_text(path.name)
        os.utime(path, (LONG_AGO, LONG_AGO))
    hashes = FileHashes(tmp_path / "cache")
    assert hashes.read("x", [file], float("inf"))
    assert hashes.read("x", [other, file], float("-inf")) is None
    assert FileHashes(tmp_path / "cache").read("x", [file], float("-inf"))


def test_files_that_are_gone_leave_the_cache(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b")]
    for file in files:
        file.write_text(file.name)
        os.utime(file, (LONG_AGO, LONG_AGO))
    hashes = FileHashes(tmp_path / "cache")
    hashes.read("x", files, float("inf"))
    files[0].unlink()
    assert list(hashes.read("x", files, float("inf")) or ()) == files[1:]
    assert str(files[0]) not in (tmp_path / "cache").read_text()


def contradict(place: Place, day: date) -> None:
    """Land a second file of a day, whose trades have no ids."""
    lake = place.project.open_lake()
    [(info, frame)] = lake.read_parts("raw_trades", instrument=A, date=day)
    other = frame.with_columns(trade_id=pl.lit(None, pl.Int64))
    lake.write(
        "raw_trades",
        other,
        code_version=info.code_version,
        inputs={ORDER: "1"},
        part="other",
        instrument=A,
        date=day,
    )


def without_last_trades(archived: bytes) -> bytes:
    """A zipped file of trades without its last five."""
    with zipfile.ZipFile(io.BytesIO(archived)) as source:
        [name] = source.namelist()
        lines = source.read(name).splitlines(keepends=True)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as shorter:
        shorter.writestr(name, b"".join(lines[:-5]))
    return target.getvalue()
