"""What each schedule asks for, on time, late, and after days on which nothing ran."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import polars as pl
import pytest

from vostok_core.errors import VostokError
from vostok_core.features.frames import BEGINS
from vostok_core.features.registry import packs
from vostok_core.features.walk import anchor
from vostok_core.hashing import hash_value
from vostok_core.labels.days import label_inputs
from vostok_core.labels.version import label_version
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market.days import CODE_VERSION
from vostok_core.market.findings import Finding, findings_frame
from vostok_core.market.instrument import Instrument
from vostok_core.models.bundle_folder import read_manifest
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
from vostok_core.sentiment.scorer import scorer, scores_version, sentiment_version
from vostok_core.strategy import Strategy
from vostok_core.times import MINUTE, day_start, days
from vostok_exchange.archive import archive_path
from vostok_pipelines.asked import ATTEMPTS
from vostok_pipelines.definitions import build_definitions
from vostok_pipelines.due import Due
from vostok_pipelines.evidence import BACKTEST_TABLES
from vostok_pipelines.jobs import asset_keys, day_assets
from vostok_pipelines.known_weeks import KnownWeeks
from vostok_pipelines.launch import Launcher, prepare_instance
from vostok_pipelines.partitions import RANGE_END, RANGE_START, date_key, week_key
from vostok_pipelines.training.configuration import configuration_hash
from vostok_pipelines.training.inputs import prediction_hashes, training_hashes
from vostok_pipelines.training.window import window_days

A, B = "test.spot.AAA-USD", "test.spot.BBB-USD"
FIRST = date(2024, 3, 4)
SUNDAY, MONDAY = date(2024, 3, 17), date(2024, 3, 18)
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)

pytestmark = pytest.mark.filterwarnings("ignore:Non-compliant tag keys")  # Dagster's, on its own


class Clock:
    """Evaluates the schedules of the small project at times that a test says."""

    def __init__(
        self, project: Project, instance: dg.DagsterInstance, enqueue: Callable[..., dg.DagsterRun]
    ) -> None:
        self.instance = instance
        self.enqueue = enqueue
        self.read(project)

    def read(self, project: Project) -> None:
        """What a code server does when it starts."""
        self.project = project
        self.definitions = build_definitions(project)

    def tick(self, name: str, day: date = MONDAY, hour: int = 5) -> list[dg.RunRequest]:
        """What a schedule asks for; every key is a partition of its job."""
        return self.look(name, day, hour)[0]

    def look(self, name: str, day: date = MONDAY, hour: int = 5) -> tuple[list[dg.RunRequest], str]:
        """What a schedule asks for, and else why it asks for nothing."""
        repository = self.definitions.get_repository_def()
        schedule = repository.get_schedule_def(name)
        moment = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
        with dg.build_schedule_context(
            instance=self.instance, scheduled_execution_time=moment, repository_def=repository
        ) as context:
            data = schedule.evaluate_tick(context)
        requests = list(data.run_requests or [])
        assert requests or data.skip_message
        partitions = self.definitions.resolve_job_def(schedule.job_name).partitions_def
        assert not requests or partitions is not None
        for request in requests:
            assert request.run_key
            for key in spans([request])[0]:
                assert partitions.has_partition_key(key)
        return requests, data.skip_message or ""

    def submit(self, name: str, requests: list[dg.RunRequest]) -> list[dg.DagsterRun]:
        """Do what the daemon does with requests: put their runs into its queue."""
        schedule = self.definitions.get_repository_def().get_schedule_def(name)
        job = self.definitions.resolve_job_def(schedule.job_name)
        return [
            self.enqueue(self.instance, job, {"dagster/partition": key} | request.tags)
            if (key := request.partition_key)
            else self.enqueue(self.instance, job, request.tags)
            for request in requests
        ]

    def fail(self, runs: list[dg.DagsterRun]) -> None:
        for run in runs:
            self.instance.report_run_failed(run)

    @property
    def lake(self) -> Lake:
        return self.project.open_lake()

    def days_are_made(self, wanted: list[date], instrument: str = A) -> None:
        self.bars_are_made(wanted, instrument)
        for pack in ("core", "sentiment"):
            self.features_are_made(wanted, pack, instrument)

    def bars_are_made(self, wanted: list[date], instrument: str = A) -> None:
        """Ticks, quality and bars without rows: a schedule looks at footers, not into files."""
        for day in wanted:
            keys = {"instrument": instrument, "date": str(day)}
            self.empty("ticks", CODE_VERSION, keys)
            self.empty("quality", CODE_VERSION, keys)
            self.empty("bars", CODE_VERSION, keys | {"interval": "1m"})
            news = sentiment_version(scorer(self.project.settings.sentiment.scorer))
            self.empty("sentiment", news, keys)

    def features_are_made(self, wanted: list[date], pack: str, instrument: str = A) -> None:
        chosen, keys = packs()[pack], {"instrument": instrument, "interval": "1m"}
        there = set(self.lake.days("bars", **keys))
        for day in wanted:
            begin = day
            while begin - DAY in there and begin > anchor(day, chosen.warmup, MINUTE):
                begin -= DAY
            walked = [self.lake.info("bars", **keys, date=d).content_hash for d in days(begin, day)]
            inputs = {"bars": hash_value(walked), BEGINS: str(begin)}
            if chosen.inputs == "sentiment":
                minutes = self.lake.info("sentiment", instrument=instrument, date=day)
                inputs["sentiment"] = hash_value([minutes.content_hash] * len(walked))
            self.empty("features", chosen.hash, keys | {"pack": pack, "date": str(day)}, inputs)

    def age(self) -> None:
        """All that is there was written long ago."""
        for path in self.lake.root.rglob("*"):
            if self.project.dagster_home not in path.parents:
                os.utime(path, (0, 0))

    def labels_are_made(self, wanted: list[date]) -> None:
        for day in wanted:
            inputs = label_inputs(self.lake, self.tiny, self.item, day, [day, day + DAY])
            place = {"strategy": "tiny", "instrument": A, "date": str(day)}
            self.empty("labels", label_version(self.tiny, self.item), place, inputs)

    def has_models(self, weeks: list[date], inputs: dict[str, str] | None = None) -> None:
        for week in weeks:
            there = self.lake.days("bars", instrument=A, interval="1m")
            used, _ = window_days(there, self.tiny, week, week)
            manifest = Manifest.model_construct(
                **dict.fromkeys(Manifest.model_fields, "x"),
            ).model_copy(
                update={
                    "schema_version": SCHEMA_VERSION,
                    "configuration": self.configuration,
                    "settings": {},
                    "training": TrainingSpan(**_SPAN),
                    "features": ("x",),
                    "packs": {},
                    "calibration": "sigmoid",
                    "threshold": 0.5,
                    "mean_win": 0.1,
                    "mean_loss": 0.1,
                    "inputs": inputs or training_hashes(self.lake, self.tiny, A, used),
                    "platform": {},
                    "versions": {},
                    "files": {},
                }
            )
            folder = bundle_path(self.lake, "tiny", A, week)
            folder.mkdir(parents=True)
            content = manifest_bytes(manifest)
            (folder / MANIFEST).write_bytes(content)
            (folder / SEAL).write_text(f"{sha256_of(content)}\n")

    def weeks_are_predicted(self, weeks: list[date], configuration: str | None = None) -> None:
        for week in weeks:
            there = self.lake.days("bars", instrument=A, interval="1m")
            used = [day for day in days(week - DAY, week + 6 * DAY) if day in there]
            inputs = prediction_hashes(self.lake, self.tiny, A, used)
            folder = bundle_path(self.lake, "tiny", A, week)
            if folder.is_dir():
                inputs["model"] = read_manifest(folder)[1]
            place = {"strategy": "tiny", "instrument": A, "week": str(week)}
            self.empty("predictions", configuration or self.configuration, place, inputs)

    def is_decided(self, week: date, *, enters: bool = False, bundle: str = "") -> None:
        """A backtest of the weeks before, and a decision on it, as if they were just made."""
        place = {"strategy": "tiny", "instrument": A, "week": str(week)}
        lake, path = self.lake, list(days(FIRST + WEEK, week - DAY))
        inputs = {
            f"predictions/{monday}": lake.info("predictions", **place | {"week": str(monday)})
            for monday in path[::7]
        }
        for day in path:
            keys = {"instrument": A, "date": str(day)}
            inputs[f"ticks/{day}"] = lake.info("ticks", **keys)
            inputs[f"bars/{day}"] = lake.info("bars", **keys, interval="1m")
        hashes = {name: info.content_hash for name, info in inputs.items()}
        for name in BACKTEST_TABLES:
            self.empty(name, self.configuration, place, hashes)
        row: dict[str, object] = {
            name: {pl.String: "x", pl.Float64: 1.0, pl.Int64: 1}.get(kind)
            for name, kind in table("promotions").schema.items()
        }
        row |= {"comparison": "<=", "verdict": "pass", "enters_service": enters}
        row |= {"decision": "promoted" if enters else "refused", "bundle": bundle}
        lake.write(
            "promotions",
            pl.DataFrame([row], schema=table("promotions").schema),
            code_version=self.configuration,
            inputs={name: lake.info(name, **place).content_hash for name in BACKTEST_TABLES}
            | {"bundle": bundle},
            **place,
        )

    def empty(
        self, name: str, version: str, place: dict[str, str], inputs: dict[str, str] | None = None
    ) -> None:
        self.lake.write(name, table(name).empty(), code_version=version, inputs=inputs, **place)

    @property
    def tiny(self) -> Strategy:
        return self.project.strategies["tiny"]

    @property
    def item(self) -> Instrument:
        return self.project.settings.universe[A]

    @property
    def configuration(self) -> str:
        return configuration_hash(self.tiny, self.item, self.project.settings)


_SPAN = dict.fromkeys(TrainingSpan.model_fields, 0) | {"days_without_data": ()}


def spans(requests: list[dg.RunRequest]) -> list[tuple[str, str]]:
    return [
        (request.partition_key, request.partition_key)
        if request.partition_key
        else (request.tags[RANGE_START], request.tags[RANGE_END])
        for request in requests
    ]


def span(first: date, last: date | None = None, name: str = A) -> tuple[str, str]:
    return date_key(first, name), date_key(last or first, name)


@pytest.fixture
def clock(project: Project, enqueue: Callable[..., dg.DagsterRun]) -> Iterator[Clock]:
    for path in (project.lake_root / "archive").rglob("*.zip"):
        os.utime(path, (0, 0))  # long written
    home = prepare_instance(project)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield Clock(project, instance, enqueue)


def test_ingestion_asks_for_every_day_since_it_last_ran(clock: Clock) -> None:
    launcher = Launcher(clock.project)
    launcher.materialize(["news", "sentiment_scores"], None, FIRST, MONDAY)
    launcher.materialize(day_assets(clock.project, A), A, FIRST, FIRST)
    for path in (clock.project.lake_root / "archive").rglob("*.zip"):
        if path.name[-14:-4] > str(FIRST + 3 * DAY):
            path.unlink()
    asked = [
        (date_key(FIRST + DAY, A), date_key(FIRST + 3 * DAY, A)),
        (date_key(FIRST, B), date_key(FIRST + 3 * DAY, B)),
    ]
    requests = clock.tick("daily_ingestion", FIRST + 4 * DAY)
    assert spans(requests) == asked
    runs = clock.submit("daily_ingestion", requests)
    later, why = clock.look("daily_ingestion", FIRST + 4 * DAY, hour=6)
    assert later == []
    assert why == f"a run of {A} is under way; a run of {B} is under way"
    clock.fail(runs)
    assert spans(clock.tick("daily_ingestion", FIRST + 4 * DAY, hour=7)) == asked
    # At a time that is past, later days have not come.
    assert spans(clock.tick("daily_ingestion", FIRST + 2 * DAY)) == [
        (first, first.replace(str(FIRST), str(FIRST + DAY)))
        for first in (date_key(FIRST + DAY, A), date_key(FIRST, B))
    ]


def test_a_file_that_comes_late_is_ingested_late(clock: Clock) -> None:
    Launcher(clock.project).materialize(["news", "sentiment_scores"], None, FIRST, FIRST + 2 * DAY)
    late = archive_path(clock.project.lake_root / "archive", "AAAUSD", FIRST)
    for path in (clock.project.lake_root / "archive").rglob("*.zip"):
        if path != late:
            path.unlink()
    away = late.rename(late.with_name("not yet"))
    assert clock.tick("daily_ingestion", FIRST + DAY) == []
    away.rename(late)
    assert spans(clock.tick("daily_ingestion", FIRST + 3 * DAY)) == [(date_key(FIRST, A),) * 2]


def test_days_of_a_strategy_whose_file_cannot_be_used_are_kept_as_far_as_it_says_which(
    clock: Clock,
) -> None:
    """A slip of the pen in it ends its own assets, and not the data that it will want."""
    file = clock.project.strategies_folder / "tiny.toml"
    sound = file.read_text()

    def graph(clock: Clock) -> set[str]:
        keys = clock.definitions.resolve_asset_graph().get_all_asset_keys()
        return {key.to_user_string() for key in keys}

    def crons(clock: Clock) -> dict[str, object]:
        made = clock.definitions.get_repository_def().schedule_defs
        return {each.name: each.cron_schedule for each in made}

    (file.parent / "other.toml").write_text(
        sound.replace(f'["{A}", "{B}"]', f'["{B}"]').replace(', "sentiment"', "")
    )
    clock.read(find_project(clock.project.root, {}))
    before = crons(clock)
    assert len(before) == 3 + 2 * 5
    Launcher(clock.project).materialize(["news", "sentiment_scores"], None, FIRST, MONDAY)
    asked = clock.tick("daily_ingestion", FIRST + DAY)
    assert [request.asset_selection for request in asked] == [
        asset_keys(day_assets(clock.project, name)) for name in (A, B)
    ]

    file.write_text(sound + "[modl]\n")
    clock.read(find_project(clock.project.root, {}))
    assert not [key for key in graph(clock) if key.startswith("tiny/")]
    # Dagster forgets that a schedule was on which is away for long.
    assert crons(clock) == before
    for name in before:
        if name.startswith("tiny_"):
            requests, why = clock.look(name)
            assert requests == []
            assert why.startswith(f"the strategy's file can't be used: {file}: modl is not a ")
    again = clock.tick("daily_ingestion", FIRST + DAY)
    assert [(r.run_key, r.tags, r.asset_selection) for r in again] == [
        (r.run_key, r.tags, r.asset_selection) for r in asked
    ]

    file.write_text("instruments = [")
    clock.read(find_project(clock.project.root, {}))
    [request] = clock.tick("daily_ingestion", FIRST + DAY)
    assert (spans([request]), request.asset_selection) == (
        [span(FIRST, name=B)],
        asset_keys([each for each in day_assets(clock.project, B) if "sentiment" not in each]),
    )
    for name, day in (("daily_ingestion", FIRST), ("daily_news", MONDAY)):
        requests, why = clock.look(name, day)
        assert requests == []
        assert "the strategy tiny is left out, the file doesn't say which data to keep" in why
        assert "not valid TOML" in why

    file.write_text(sound)
    clock.read(find_project(clock.project.root, {}))
    assert spans(clock.tick("daily_ingestion", FIRST + DAY)) == spans(asked)


def test_news_are_fetched_from_where_they_ended(clock: Clock) -> None:
    assert spans(clock.tick("daily_news")) == [(str(SUNDAY), str(SUNDAY))]
    settings = clock.project.settings
    version = scores_version(scorer(settings.sentiment.scorer), settings.bases)
    for day in (FIRST, FIRST + DAY, SUNDAY - 4 * DAY):
        clock.empty("sentiment_scores", version, {"date": str(day)})
    # Holes too, back to where news began: one run at a time, since each adds to today's news.
    late, early = (SUNDAY - 3 * DAY, SUNDAY), (FIRST + 2 * DAY, SUNDAY - 5 * DAY)
    for first, last in (late, early):
        requests = clock.tick("daily_news")
        assert spans(requests) == [(str(first), str(last))]
        [run] = clock.submit("daily_news", requests)
        assert clock.look("daily_news") == ([], "a run of news is under way")
        clock.instance.report_run_failed(run)
        for day in days(first, last):
            clock.empty("sentiment_scores", version, {"date": str(day)})
    for day in days(FIRST, SUNDAY):
        clock.empty("sentiment_scores", version, {"date": str(day)})
    assert clock.tick("daily_news") == []
    # Scores by another scorer, or tagged for another universe, are made anew.
    clock.empty("sentiment_scores", "another", {"date": str(FIRST)})
    assert spans(clock.tick("daily_news")) == [(str(FIRST), str(FIRST))]


def test_news_are_scored_from_the_first_day_whose_features_need_them(clock: Clock) -> None:
    launcher = Launcher(clock.project)
    chain = [name for name in day_assets(clock.project, A) if "sentiment" not in name]
    launcher.materialize(chain, A, FIRST + DAY, FIRST + 4 * DAY)
    launcher.materialize(["news", "sentiment_scores"], None, FIRST + 4 * DAY, FIRST + 4 * DAY)
    with pytest.raises(VostokError):  # the walk of its month begins with the first bars
        launcher.materialize(["sentiment", "features/sentiment"], A, *[FIRST + 4 * DAY] * 2)
    [request] = clock.tick("daily_news", FIRST + 5 * DAY)
    first, last = map(date.fromisoformat, spans([request])[0])
    assert (first, last) == (FIRST + DAY, FIRST + 3 * DAY)
    launcher.materialize(["news", "sentiment_scores"], None, first, last)
    assert clock.tick("daily_news", FIRST + 5 * DAY) == []
    launcher.materialize(["sentiment", "features/sentiment"], A, first, FIRST + 4 * DAY)


def test_each_range_of_news_has_its_attempts(clock: Clock) -> None:
    settings = clock.project.settings
    version = scores_version(scorer(settings.sentiment.scorer), settings.bases)
    for day in (FIRST, FIRST + DAY, SUNDAY - 4 * DAY):
        clock.empty("sentiment_scores", version, {"date": str(day)})
    late = (str(SUNDAY - 3 * DAY), str(SUNDAY))
    early = (str(FIRST + 2 * DAY), str(SUNDAY - 5 * DAY))
    [run] = clock.submit("daily_news", clock.tick("daily_news"))
    clock.instance.report_run_canceled(run)
    for _ in range(ATTEMPTS):
        requests = clock.tick("daily_news")
        assert spans(requests) == [early]
        clock.fail(clock.submit("daily_news", requests))
    requests, why = clock.look("daily_news")
    assert requests == []
    assert f"news from {late[0]} to {late[1]} won't be asked for again" in why
    assert f"news from {early[0]} to {early[1]} won't be asked for again" in why


def test_news_of_a_mended_feed_are_asked_for_afresh(clock: Clock) -> None:
    feed = clock.project.lake_root / "feeds" / "demo.xml"
    whole = feed.read_bytes()
    feed.unlink()  # it is a link to what other tests use
    feed.write_bytes(whole[:100])
    for _ in range(ATTEMPTS):
        clock.fail(clock.submit("daily_news", clock.tick("daily_news")))
    assert clock.tick("daily_news") == []
    feed.unlink()
    assert len(clock.tick("daily_news")) == 1
    feed.write_bytes(whole)
    assert spans(clock.tick("daily_news")) == [(str(SUNDAY), str(SUNDAY))]


def test_labels_are_asked_for_once_they_can_be_known(clock: Clock) -> None:
    assert clock.tick("tiny_daily_labels") == []
    clock.days_are_made(list(days(SUNDAY - 4 * DAY, SUNDAY)))
    clock.labels_are_made(list(days(SUNDAY - 4 * DAY, SUNDAY - 3 * DAY)))
    # A label of Saturday may reach into Sunday; of Sunday, into a day that is not over.
    asked = [span(SUNDAY - 2 * DAY, SUNDAY - DAY)]
    requests = clock.tick("tiny_daily_labels")
    assert spans(requests) == asked
    runs = clock.submit("tiny_daily_labels", requests)
    for day, hour in ((MONDAY, 6), (MONDAY + DAY, 5)):
        again = clock.look("tiny_daily_labels", day, hour)
        assert again == ([], f"a run of labels of tiny for {A} is under way")
    clock.fail(runs)
    clock.labels_are_made([SUNDAY - DAY])
    assert spans(clock.tick("tiny_daily_labels", hour=7)) == [span(SUNDAY - 2 * DAY)]
    clock.bars_are_made([SUNDAY - 4 * DAY, SUNDAY - 3 * DAY], B)
    for pack in ("core", "sentiment"):
        clock.features_are_made([SUNDAY - 4 * DAY], pack, B)
    assert spans(clock.tick("tiny_daily_labels")) == [
        span(SUNDAY - 2 * DAY),
        span(SUNDAY - 4 * DAY, name=B),
    ]


def test_labels_that_failed_are_asked_for_day_by_day_a_few_times(clock: Clock) -> None:
    clock.days_are_made(list(days(SUNDAY - 4 * DAY, SUNDAY)))
    [whole] = clock.tick("tiny_daily_labels")
    assert spans([whole]) == [span(SUNDAY - 4 * DAY, SUNDAY - DAY)]
    clock.fail(clock.submit("tiny_daily_labels", [whole]))
    # Any of its days may have been the one that failed, and the others don't wait for it.
    alone = clock.tick("tiny_daily_labels")
    assert spans(alone) == [span(SUNDAY - back * DAY) for back in (4, 3, 2, 1)]
    assert len({request.run_key for request in [whole, *alone]}) == 5
    clock.fail(clock.submit("tiny_daily_labels", alone))
    clock.labels_are_made([SUNDAY - back * DAY for back in (4, 2, 1)])
    for _ in range(ATTEMPTS - 2):
        again = clock.tick("tiny_daily_labels")
        assert spans(again) == [span(SUNDAY - 3 * DAY)]
        [run] = clock.submit("tiny_daily_labels", again)
        clock.fail([run])
    requests, why = clock.look("tiny_daily_labels")
    assert requests == []
    assert why.startswith(f"1 day of labels of tiny for {A} won't be asked for again until")
    assert f"run {run.run_id[:8]} is the last of 3" in why
    bad = SUNDAY - 3 * DAY
    command = f"vostok materialize tiny/labels --instrument {A} --from {bad} --to {bad}"
    assert f"`{command}`" in why
    # A further day is asked for, and doesn't give the other one further attempts.
    clock.days_are_made([MONDAY])
    assert spans(clock.tick("tiny_daily_labels", MONDAY + DAY)) == [span(SUNDAY)]


def test_labels_of_days_that_no_model_looks_at_are_not_asked_for(clock: Clock) -> None:
    clock.days_are_made(list(days(FIRST, SUNDAY)))
    asked = spans(clock.tick("tiny_daily_labels"))
    # One week of training, a day of lag, and the bar at midnight in the day before.
    first = MONDAY - DAY - WEEK - DAY
    assert asked == [span(first, SUNDAY - DAY)]


def test_labels_wait_for_features(clock: Clock) -> None:
    clock.bars_are_made([SUNDAY - DAY, SUNDAY])
    assert clock.tick("tiny_daily_labels") == []
    clock.features_are_made([SUNDAY - DAY], "core")
    assert spans(clock.tick("tiny_daily_labels")) == [span(SUNDAY - DAY)]


def test_predictions_are_asked_for_once_the_week_is_over_and_made(clock: Clock) -> None:
    week = MONDAY - WEEK
    clock.has_models([week, MONDAY])
    assert clock.tick("tiny_weekly_predictions") == []
    clock.days_are_made([SUNDAY])
    clock.days_are_made([SUNDAY], B)  # which has no model
    assert clock.tick("tiny_weekly_predictions", SUNDAY, hour=23) == []
    requests = clock.tick("tiny_weekly_predictions")
    assert [request.partition_key for request in requests] == [week_key(week, A)]
    runs = clock.submit("tiny_weekly_predictions", requests)
    for day in (MONDAY, SUNDAY + WEEK):  # a Sunday's file may come on any day
        assert clock.tick("tiny_weekly_predictions", day, hour=9) == []
    clock.fail(runs)
    for day in (MONDAY, SUNDAY + WEEK):
        again = clock.tick("tiny_weekly_predictions", day, hour=10)
        assert spans(again) == spans(requests)
    clock.weeks_are_predicted([week])
    assert clock.tick("tiny_weekly_predictions") == []


def test_predictions_of_missed_weeks_are_asked_for(clock: Clock) -> None:
    weeks = [FIRST + WEEK * number for number in range(3)]
    clock.days_are_made([week + 6 * DAY for week in weeks])
    clock.has_models(weeks)
    clock.weeks_are_predicted(weeks[:1])
    requests = clock.tick("tiny_weekly_predictions", FIRST + 3 * WEEK)
    assert [request.partition_key for request in requests] == [week_key(w, A) for w in weeks[1:]]


def test_nothing_is_asked_for_that_is_no_partition(clock: Clock) -> None:
    early = [FIRST - back * DAY for back in range(9, 0, -1)]
    clock.days_are_made([*early, FIRST, FIRST + DAY])
    clock.has_models([FIRST - 2 * WEEK, FIRST - WEEK])
    clock.weeks_are_predicted([FIRST - 2 * WEEK])
    lake, scores = clock.project.open_lake(), "sentiment_scores"
    lake.write(scores, table(scores).empty(), code_version="t", date=FIRST - 3 * DAY)
    assert clock.tick("tiny_weekly_predictions", FIRST + DAY) == []
    assert clock.tick("tiny_weekly_retraining", FIRST + DAY) == []
    assert spans(clock.tick("tiny_daily_labels", FIRST + 2 * DAY)) == [span(FIRST)]
    assert spans(clock.tick("daily_news", FIRST + 2 * DAY)) == [(str(FIRST), str(FIRST + DAY))]


def test_retraining_waits_for_predictions_and_labels(clock: Clock) -> None:
    written = list(days(FIRST, SUNDAY))
    clock.days_are_made(written)
    assert clock.tick("tiny_weekly_retraining") == []
    clock.weeks_are_predicted([MONDAY - WEEK])
    assert clock.tick("tiny_weekly_retraining") == []
    # The archive of Sunday comes on Monday, so what is learned from ended on Saturday.
    clock.labels_are_made(written[:-2])
    requests = clock.tick("tiny_weekly_retraining")
    assert [request.partition_key for request in requests] == [week_key(MONDAY, A)]
    runs = clock.submit("tiny_weekly_retraining", requests)
    assert clock.tick("tiny_weekly_retraining", SUNDAY + WEEK) == []
    clock.fail(runs)
    assert spans(clock.tick("tiny_weekly_retraining", SUNDAY + WEEK)) == spans(requests)
    clock.is_decided(MONDAY)
    assert clock.tick("tiny_weekly_retraining") == []


def test_a_missed_week_is_trained_before_the_newest(clock: Clock) -> None:
    clock.days_are_made([FIRST + 6 * DAY])
    clock.weeks_are_predicted([FIRST])
    assert [r.partition_key for r in clock.tick("tiny_weekly_retraining", MONDAY + DAY)] == [
        week_key(FIRST + WEEK, A)
    ]


def test_what_was_corrected_is_due_again_from_its_labels_to_its_predictions(clock: Clock) -> None:
    written = list(days(FIRST, SUNDAY))
    clock.days_are_made(written)
    clock.labels_are_made(written[:-1])
    week = MONDAY - WEEK
    clock.has_models([week])
    clock.weeks_are_predicted([week])
    assert clock.tick("tiny_daily_labels") == []
    assert clock.tick("tiny_weekly_predictions") == []
    assert [r.partition_key for r in clock.tick("tiny_weekly_retraining")] == [week_key(MONDAY, A)]

    corrected = FIRST + 2 * DAY  # in the training window of the week's model
    keys = {"instrument": A, "date": str(corrected)}
    day = day_start(corrected)
    silence = [Finding("silence", "error", day, day + MINUTE, 1, "found late")]
    clock.lake.write("quality", findings_frame(silence), code_version=CODE_VERSION, **keys)
    # The labels that reach into the day come first, then the model and what it predicted.
    assert spans(clock.tick("tiny_daily_labels")) == [span(corrected - DAY, corrected)]
    assert clock.tick("tiny_weekly_predictions") == []
    assert clock.tick("tiny_weekly_retraining") == []
    clock.labels_are_made([corrected - DAY, corrected])
    assert clock.tick("tiny_daily_labels") == []
    # As made anew they say nothing else than before, so the model stands.
    assert clock.tick("tiny_weekly_predictions") == []
    assert [r.partition_key for r in clock.tick("tiny_weekly_retraining")] == [week_key(MONDAY, A)]
    # A model of other labels is trained again, with its predictions.
    manifest, _ = read_manifest(folder := bundle_path(clock.lake, "tiny", A, week))
    shutil.rmtree(folder)
    clock.has_models([week], manifest.inputs | {"labels": "others"})
    [request] = clock.tick("tiny_weekly_predictions")
    assert request.partition_key == week_key(week, A)
    assert request.asset_selection == asset_keys(["tiny/model", "tiny/predictions"])
    assert clock.tick("tiny_weekly_retraining") == []


def test_weeks_that_were_found_current_are_read_again_when_anything_of_them_is_swapped(
    clock: Clock,
) -> None:
    written = list(days(FIRST, SUNDAY))
    clock.days_are_made(written)
    clock.labels_are_made(written[:-1])
    weeks = [FIRST, FIRST + WEEK]
    clock.has_models(weeks[1:])
    clock.weeks_are_predicted(weeks)
    clock.age()
    assert len(clock.tick("tiny_weekly_retraining")) == 1
    corrected = FIRST + 2 * DAY
    ticks = clock.lake.partition("ticks", instrument=A, date=corrected) / "part-0.parquet"
    content = ticks.read_bytes()
    ticks.write_bytes(b"torn")  # in place, as nothing of Vostok writes: the folder stays as it was
    nothing = "no week has ended that has a model and features and no predictions"
    assert clock.look("tiny_weekly_predictions") == ([], nothing)
    # A later day is none of theirs.
    clock.days_are_made([MONDAY])
    clock.age()
    assert clock.look("tiny_weekly_predictions", MONDAY + DAY) == ([], nothing)
    clock.read(clock.project)
    assert f"tiny on {A} can't be looked at: {ticks}" in clock.look("tiny_weekly_predictions")[1]
    ticks.write_bytes(content)
    assert clock.look("tiny_weekly_predictions") == ([], nothing)
    day = day_start(corrected)
    silence = [Finding("silence", "error", day, day + MINUTE, 1, "found late")]
    keys = {"instrument": A, "date": str(corrected)}
    clock.lake.write("quality", findings_frame(silence), code_version=CODE_VERSION, **keys)
    asked = spans(clock.tick("tiny_daily_labels"))
    assert asked == [span(corrected - DAY, corrected), span(SUNDAY)]
    clock.labels_are_made([corrected - DAY, corrected, SUNDAY])
    clock.age()
    assert clock.tick("tiny_daily_labels") == []
    (bundle_path(clock.lake, "tiny", A, weeks[1]) / MANIFEST).write_text("{}")
    assert f"{MANIFEST} does not match" in clock.look("tiny_weekly_predictions")[1]


def test_reading_of_weeks_that_was_broken_off_goes_on_where_it_stopped(clock: Clock) -> None:
    clock.days_are_made(list(days(FIRST, SUNDAY)))
    clock.weeks_are_predicted([FIRST])
    clock.age()
    known = KnownWeeks(clock.project, clock.tiny, clock.item)

    def due(deadline: float) -> Due:
        settings = clock.project.settings
        return Due(clock.lake, settings, clock.tiny, clock.item, MONDAY, known, deadline)

    late = due(float("-inf"))
    assert (late.is_whole, late.labels(), late.predictions(), late.model()) == (False, [], [], None)
    assert due(float("inf")).is_whole
    again = due(float("-inf"))
    assert again.is_whole
    assert again.labels()


def test_an_altered_bundle_is_told_and_keeps_no_label_waiting(clock: Clock) -> None:
    written = list(days(FIRST, SUNDAY))
    clock.days_are_made(written)
    clock.labels_are_made(written[:-2])
    clock.has_models([FIRST])
    clock.weeks_are_predicted([FIRST])
    (bundle_path(clock.lake, "tiny", A, FIRST) / MANIFEST).write_text("{}")
    assert spans(clock.tick("tiny_daily_labels")) == [span(SUNDAY - DAY)]
    clock.labels_are_made([SUNDAY - DAY])
    for name in ("tiny_daily_labels", "tiny_weekly_predictions", "tiny_weekly_retraining"):
        requests, why = clock.look(name)
        assert requests == []
        assert why.count(f"{MANIFEST} does not match {SEAL}. Hint: run `vostok materialize") == 1


def test_what_does_not_read_of_one_instrument_keeps_no_other_waiting(clock: Clock) -> None:
    for name in (A, B):
        clock.days_are_made(list(days(SUNDAY - 4 * DAY, SUNDAY)), name)
    torn = clock.lake.partition("bars", instrument=A, interval="1m", date=SUNDAY - 2 * DAY)
    (torn / "part-0.parquet").write_bytes(b"torn")
    assert {last.split("|")[1] for _, last in spans(clock.tick("tiny_daily_labels"))} == {B}
    shutil.rmtree(clock.lake.root / "bars" / f"instrument={B}")
    requests, why = clock.look("tiny_daily_labels")
    assert requests == []
    assert why.startswith(f"tiny on {A} can't be looked at: {torn}")


def test_an_outage_longer_than_the_training_window_is_worked_off(clock: Clock) -> None:
    clock.days_are_made(list(days(FIRST, SUNDAY)))
    clock.weeks_are_predicted([FIRST])
    later = MONDAY + 3 * WEEK
    # This week's model looks at none of these days; the one that is due does.
    [(first, last), *_] = spans(clock.tick("tiny_daily_labels", later))
    assert first == date_key(FIRST, A)
    assert last >= date_key(FIRST + 4 * DAY, A)


def test_an_edited_strategy_is_left_to_a_person(clock: Clock) -> None:
    written = list(days(FIRST, SUNDAY))
    clock.days_are_made(written)
    clock.labels_are_made(written[:-2])
    clock.has_models([FIRST, FIRST + WEEK])
    clock.weeks_are_predicted([FIRST])
    open_week = [week_key(FIRST + WEEK, A)]
    assert [r.partition_key for r in clock.tick("tiny_weekly_predictions")] == open_week
    path = clock.project.root / "strategies" / "tiny.toml"
    before = path.read_text()
    path.write_text(before.replace("num_iterations = 20", "num_iterations = 21"))
    clock.read(find_project(clock.project.root, {}))
    for name in ("tiny_weekly_predictions", "tiny_weekly_retraining"):
        requests, why = clock.look(name)
        assert requests == []
        command = f"vostok walk-forward tiny --instrument {A} --from {FIRST} --to {FIRST}"
        assert why.count(f"`{command}`") == 1
    # Not even where only weeks long ago are of another configuration.
    clock.weeks_are_predicted([FIRST + WEEK])
    assert clock.tick("tiny_weekly_retraining") == []
    # The labels are the same under both.
    assert spans(clock.tick("tiny_daily_labels")) == [span(SUNDAY - DAY)]
    clock.weeks_are_predicted([FIRST])
    clock.labels_are_made([SUNDAY - DAY])
    shutil.rmtree(bundle_path(clock.lake, "tiny", A, FIRST))
    shutil.rmtree(bundle_path(clock.lake, "tiny", A, FIRST + WEEK))
    assert [r.partition_key for r in clock.tick("tiny_weekly_retraining")] == [week_key(MONDAY, A)]


def test_what_failed_is_asked_for_a_few_times_and_afresh_when_it_has_changed(clock: Clock) -> None:
    clock.days_are_made([FIRST + 6 * DAY])
    clock.weeks_are_predicted([FIRST])
    name, what = "tiny_weekly_retraining", f"model of tiny for {A} in the week of {FIRST + WEEK}"
    keys = set()
    for hour in range(ATTEMPTS):
        [request] = clock.tick(name, MONDAY, 3 + hour)
        keys.add(request.run_key)
        [run] = clock.submit(name, [request])
        assert clock.look(name, MONDAY, 3 + hour) == ([], f"a run of {what} is under way")
        clock.fail([run])
    assert len(keys) == ATTEMPTS  # or Dagster would take one for another
    assets = "tiny/model,tiny/backtest,tiny/promotion"
    requests, why = clock.look(name, MONDAY, 9)
    assert requests == []
    assert why == (
        f"{what} won't be asked for again until what it is made from has changed: run "
        f"{run.run_id[:8]} is the last of 3 that did not make it; mend the cause it names, then "
        f"run `vostok materialize {assets} --instrument {A} --from {FIRST + WEEK} "
        f"--to {FIRST + WEEK}`"
    )
    clock.bars_are_made([FIRST + WEEK + 3 * DAY])  # which the model of the week is not made from
    assert clock.tick(name, MONDAY, 9) == []
    clock.days_are_made([FIRST - 3 * DAY])
    clock.weeks_are_predicted([FIRST])
    [afresh] = clock.tick(name, MONDAY, 10)
    assert afresh.run_key not in keys
    clock.fail(clock.submit(name, [afresh]))
    assert len(clock.tick(name, MONDAY, 11)) == 1


def test_what_a_person_canceled_is_not_asked_for_again(clock: Clock) -> None:
    [request] = clock.tick("daily_news")
    [run] = clock.submit("daily_news", [request])
    clock.instance.report_run_canceled(run)
    requests, why = clock.look("daily_news", hour=6)
    assert requests == []
    assert f"run {run.run_id[:8]} was canceled" in why
    assert f"`vostok materialize news,sentiment_scores --from {SUNDAY} --to {SUNDAY}`" in why
    assert spans(clock.tick("daily_news", MONDAY + DAY)) == [(str(MONDAY), str(MONDAY))]


def test_a_canceled_retraining_stays_canceled_when_days_of_its_week_come(clock: Clock) -> None:
    clock.days_are_made([FIRST + 6 * DAY])
    clock.weeks_are_predicted([FIRST])
    [request] = clock.tick("tiny_weekly_retraining", FIRST + WEEK)
    [run] = clock.submit("tiny_weekly_retraining", [request])
    clock.instance.report_run_canceled(run)
    clock.days_are_made([FIRST + WEEK])
    requests, why = clock.look("tiny_weekly_retraining", FIRST + WEEK + DAY)
    assert requests == []
    assert f"run {run.run_id[:8]} was canceled" in why
