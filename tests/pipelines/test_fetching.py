"""The archive through Dagster: what is fetched by itself, months, and funding rates."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from tests.fetching.archive_server import ArchiveServer, status, zipped
from vostok_core.project import Project, find_project
from vostok_core.times import days as each_day
from vostok_exchange.archive import archive_path
from vostok_pipelines.asked import ATTEMPTS
from vostok_pipelines.definitions import build_definitions
from vostok_pipelines.launch import prepare_instance
from vostok_pipelines.partitions import RANGE_END, RANGE_START, date_key

A, B, PERPETUAL = "test.spot.AAA-USD", "test.spot.BBB-USD", "test.usdm.AAA-USD"
FIRST, LAST = date(2024, 3, 4), date(2024, 3, 18)
DAY = timedelta(days=1)
FUNDING = "data/futures/um/monthly/fundingRate/AAAUSD/AAAUSD-fundingRate-2024-03.zip"
USDM = f"""
[instruments."{PERPETUAL}"]
tick = "agg_trade"
price_tick = "0.01"
quantity_step = "0.00001"
"""


class Place:
    """A project whose venue has an address, and what its schedule and sensor ask for."""

    def __init__(self, project: Project, instance: dg.DagsterInstance) -> None:
        self.project = project
        self.instance = instance
        self.archive = project.lake_root / "archive"
        self.definitions = build_definitions(project)

    def fetches(self, day: date, hour: int = 5) -> tuple[list[dg.RunRequest], str]:
        """What `daily_fetch` asks for, or why it doesn't."""
        repository = self.definitions.get_repository_def()
        moment = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
        with dg.build_schedule_context(
            instance=self.instance, scheduled_execution_time=moment, repository_def=repository
        ) as context:
            data = repository.get_schedule_def("daily_fetch").evaluate_tick(context)
        return list(data.run_requests or []), data.skip_message or ""

    def arrivals(self) -> list[dg.RunRequest]:
        """What `new_trade_files` asks for."""
        sensor = self.definitions.get_repository_def().get_sensor_def("new_trade_files")
        with dg.build_sensor_context(
            instance=self.instance, definitions=self.definitions, sensor_name="new_trade_files"
        ) as context:
            return list(sensor.evaluate_tick(context).run_requests or [])

    def run(self, job: str, request: dg.RunRequest) -> bool:
        """Do what the daemon does with a request; says whether the run succeeded."""
        result = self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            tags={**request.tags, "dagster/run_key": request.run_key},
            asset_selection=list(request.asset_selection) if request.asset_selection else None,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        return result.success

    def take(self, day: date, base: str = "AAA") -> bytes:
        """Take a day's file away."""
        path = archive_path(self.archive, f"{base}USD", day)
        content = path.read_bytes()
        path.unlink()
        return content

    def put(self, path: Path, content: bytes) -> None:
        """Put a file that was written long ago."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (0, 0))


def spans(requests: list[dg.RunRequest]) -> list[tuple[str, str]]:
    return [(request.tags[RANGE_START], request.tags[RANGE_END]) for request in requests]


def span(first: date, last: date, name: str = A) -> tuple[str, str]:
    return date_key(first, name), date_key(last, name)


@pytest.fixture
def make_place(
    make_project: Callable[..., Project], server: ArchiveServer
) -> Iterator[Callable[..., Place]]:
    """Makes such a project; with a strategy, or without."""
    opened = []

    def make(*, strategy: bool = True, urls: str | None = None) -> Place:
        root = make_project().root
        text = (root / "vostok.toml").read_text() + USDM
        urls = f'test = "{server.url}"' if urls is None else urls
        (root / "vostok.toml").write_text(f"{text}\n[sources.urls]\n{urls}\n")
        if not strategy:
            (root / "strategies" / "tiny.toml").unlink()
        project = find_project(root, {})
        for path in (project.lake_root / "archive").rglob("*.zip"):
            os.utime(path, (0, 0))
        instance = dg.DagsterInstance.from_config(str(prepare_instance(project)))
        opened.append(instance)
        return Place(project, instance)

    yield make
    for instance in opened:
        instance.dispose()


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    """An archive without files."""
    with ArchiveServer() as running:
        yield running


def path_of(day: date, base: str = "AAA") -> str:
    return str(archive_path(Path(), f"{base}USD", day))


def test_holes_and_new_days_of_traded_instruments_are_fetched(
    make_place: Callable[..., Place], server: ArchiveServer
) -> None:
    place = make_place()
    holes = [date(2024, 3, 6), date(2024, 3, 9)]
    for day in [*holes, LAST]:
        server.put(path_of(day), place.take(day))
    requests, _ = place.fetches(LAST + DAY)
    assert spans(requests) == [span(holes[0], LAST)]
    (request,) = requests
    assert place.run("fetch", request)
    # Only what was missing came, and whole.
    assert {path for path, _ in server.requests if path.endswith(".zip")} == {
        path_of(day) for day in [*holes, LAST]
    }
    for day in [*holes, LAST]:
        file = archive_path(place.archive, "AAAUSD", day)
        assert file.read_bytes() == server.files[path_of(day)]
    assert place.fetches(LAST + DAY, hour=6) == (
        [], "no file is missing that the archives should have",
    )  # fmt: skip


def test_a_day_that_is_late_is_asked_for_every_hour_and_an_old_hole_a_few_times_a_day(
    make_place: Callable[..., Place], server: ArchiveServer
) -> None:
    place = make_place()
    for hour in range(3, 9):
        requests, _ = place.fetches(LAST + 2 * DAY, hour)  # the archive doesn't have LAST + DAY yet
        assert len(requests) == 2  # of both markets
        assert place.run("fetch", requests[0])
    place.take(FIRST + DAY)
    for day in (LAST + DAY, LAST + 2 * DAY):
        for base in ("AAA", "BBB"):
            place.put(archive_path(place.archive, f"{base}USD", day), b"x")
    later = LAST + 3 * DAY
    for hour in range(1, 1 + ATTEMPTS):
        (request,), _ = place.fetches(later, hour)
        assert spans([request]) == [span(FIRST + DAY, FIRST + DAY)]
        assert place.run("fetch", request)
    requests, why = place.fetches(later, 9)
    assert requests == []
    assert f"a day of {A} that the archive doesn't have, first {FIRST + DAY}" in why
    assert f"`vostok ingest --absent {FIRST + DAY} --instrument {A}`" in why
    for base in ("AAA", "BBB"):
        place.put(archive_path(place.archive, f"{base}USD", later), b"x")
    assert len(place.fetches(later + DAY, 1)[0]) == 1


def test_a_day_that_can_not_be_had_fails_the_run_and_lets_the_others_come(
    make_place: Callable[..., Place], server: ArchiveServer
) -> None:
    place = make_place()
    bad, good = date(2024, 3, 6), date(2024, 3, 9)
    for day in (bad, good):
        server.put(path_of(day), place.take(day))
    server.faults[path_of(bad)] = [status(403)]
    (request,), _ = place.fetches(LAST + DAY)
    assert not place.run("fetch", request)
    assert archive_path(place.archive, "AAAUSD", good).exists()
    (request,), _ = place.fetches(LAST + DAY, hour=6)
    assert spans([request]) == [span(bad, bad)]
    assert place.run("fetch", request)


def test_a_history_that_nobody_began_and_a_venue_without_an_address_are_left_alone(
    make_place: Callable[..., Place],
) -> None:
    place = make_place(urls='other = "http://127.0.0.1:1"')
    place.take(FIRST + DAY)
    assert place.fetches(LAST + DAY)[0] == []


def test_an_empty_archive_says_how_to_begin(make_place: Callable[..., Place]) -> None:
    place = make_place()
    for day in each_day(FIRST, LAST):
        place.take(day)
    _, why = place.fetches(LAST + DAY)
    assert f"nothing of {A} is there to go on from: begin with `vostok fetch {A} --from DAY`" in why


@pytest.mark.long
def test_a_month_is_made_once_and_the_files_of_its_days_change_nothing(
    make_place: Callable[..., Place],
) -> None:
    """The days of a month before and after its trades are made too, and not due for ever."""
    place = make_place(strategy=False)
    for base in ("AAA", "BBB"):
        for day in each_day(FIRST, LAST):
            content = place.take(day, base)
            if base == "AAA" and day < date(2024, 3, 7):
                place.put(Path(f"{place.archive}-away") / path_of(day), content)
    away = [Path(f"{place.archive}-away") / path_of(FIRST + k * DAY) for k in range(3)]
    text = "".join(_text(path.read_bytes()) for path in away)
    month = place.archive / "data/spot/monthly/aggTrades/AAAUSD/AAAUSD-aggTrades-2024-03.zip"
    place.put(month, zipped(text))

    (request,) = place.arrivals()
    assert spans([request]) == [span(FIRST, date(2024, 3, 31))]
    assert place.run("ingest", request)
    lake = place.project.open_lake()
    bars = {"instrument": A, "interval": "1m"}
    assert lake.days("bars", **bars) == list(each_day(FIRST, date(2024, 3, 31)))
    valid = lake.read("bars", **bars, date=FIRST + DAY)["valid"]
    assert valid.mean() > 0.9
    assert not lake.read("bars", **bars, date=date(2024, 3, 20))["valid"].any()
    assert place.arrivals() == []

    before = {
        day: lake.info("bars", **bars, date=day).path.stat().st_mtime_ns
        for day in lake.days("bars", **bars)
    }
    for path in away:
        place.put(archive_path(place.archive, "AAAUSD", date.fromisoformat(path.stem[-10:])),
                  path.read_bytes())  # fmt: skip
    (request,) = place.arrivals()
    land = request.with_replaced_attrs(asset_selection=[dg.AssetKey("landed")])
    assert place.run("ingest", land)
    assert place.arrivals() == []  # and nothing that is made of them is due
    month.unlink()
    assert place.arrivals() == []
    for day, written in before.items():
        assert lake.info("bars", **bars, date=day).path.stat().st_mtime_ns == written


def _text(packed: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return archive.read(archive.namelist()[0]).decode()


def test_funding_rates_that_have_come_are_asked_for_until_they_are_in_the_lake(
    make_place: Callable[..., Place],
) -> None:
    place = make_place(strategy=False)
    for base in ("AAA", "BBB"):
        for day in each_day(FIRST, LAST):
            place.take(day, base)
    assert place.arrivals() == []
    start = 1_709_251_200_000  # 2024-03-01
    rows = "".join(f"{start + k * 28_800_000},8,0.0001\n" for k in range(93))
    text = f"calc_time,funding_interval_hours,last_funding_rate\n{rows}"
    place.put(place.archive / FUNDING, zipped(text))
    (request,) = place.arrivals()
    assert spans([request]) == [span(FIRST, date(2024, 3, 31), PERPETUAL)]
    assert request.asset_selection == [dg.AssetKey("funding")]
    assert place.run("ingest", request)
    assert place.arrivals() == []
    lake = place.project.open_lake()
    days = lake.days("funding", instrument=PERPETUAL)
    assert days == list(each_day(FIRST, date(2024, 3, 31)))
    assert lake.read("funding", instrument=PERPETUAL, date=FIRST).height == 3
    place.put(place.archive / FUNDING, zipped(text.replace("0.0001", "0.0002")))
    assert len(place.arrivals()) == 1
    place.put(place.archive / FUNDING, zipped(text.replace("0.0001", "many")))
    (request,) = place.arrivals()
    assert not place.run("ingest", request)
    assert lake.read("funding", instrument=PERPETUAL, date=FIRST)["rate"].to_list() == [1e-4] * 3
