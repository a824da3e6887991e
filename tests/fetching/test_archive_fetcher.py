"""The archive's fetcher against a real server: what it asks for, what comes, and what doesn't."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import pytest

from tests.fetching.archive_server import ArchiveServer, content, cut, status, trickle, zipped
from vostok_core.errors import FetchError, UsageError
from vostok_core.market.days import FETCHED
from vostok_core.market.instrument import Instrument
from vostok_core.market.parts import write_part
from vostok_core.project import Project, find_project
from vostok_core.times import days as each_day
from vostok_pipelines.fetching.archive import ArchiveFetcher
from vostok_pipelines.fetching.fetcher import Fetched, Progress
from vostok_pipelines.fetching.polite import Pace
from vostok_pipelines.landing import land_absent, land_days
from vostok_pipelines.sources import binance
from vostok_pipelines.sources.common import SourceFile
from vostok_pipelines.sources.layout import Series

SPOT, PERPETUAL = "binance.spot.XRP-ETH", "binance.usdm.BTC-USDT"
TODAY = date(2025, 3, 10)
JANUARY = list(each_day(date(2025, 1, 1), date(2025, 1, 31)))
FEBRUARY = list(each_day(date(2025, 2, 1), date(2025, 2, 28)))
MARCH = list(each_day(date(2025, 3, 1), date(2025, 3, 9)))
START = 1_735_689_600_000_000
QUICK = Pace(pause=0.01, longest_pause=0.05, spacing=0.0, silence=5.0, tries=3)

SETTINGS = """
[calendar]
start = 2024-06-01

[sources.archives]
binance = "archive"
{urls}
[instruments."binance.spot.XRP-ETH"]
tick = "agg_trade"
price_tick = "0.00000001"
quantity_step = "1"

[instruments."binance.usdm.BTC-USDT"]
tick = "trade"
price_tick = "0.1"
quantity_step = "0.001"

[instruments."kraken.spot.EOS-USD"]
tick = "trade"
price_tick = "0.0001"
quantity_step = "0.1"
"""


def rows(day: date, count: int = 4) -> str:
    first = (day - JANUARY[0]).days
    return "".join(
        f"{first * count + k + 1},10.5,2,{k},{k},"
        f"{START + first * 86_400_000_000 + k * 3_600_000_000},True,True\n"
        for k in range(count)
    )


@pytest.fixture
def project(server: ArchiveServer, tmp_path: Path) -> Project:
    (tmp_path / "vostok.toml").write_text(
        SETTINGS.format(urls=f'[sources.urls]\nbinance = "{server.url}/"\n')
    )
    return find_project(tmp_path, {})


@pytest.fixture
def publish(server: ArchiveServer, project: Project) -> Callable[..., None]:
    """Puts files of days, or of whole months, on the server."""
    series = Series.of(project.settings.universe[SPOT])

    def put(days: Sequence[date], *, month: bool = False) -> None:
        if month:
            text = "".join(rows(day) for day in days)
            server.put(str(series.monthly(days[0]).path), zipped(text))
            return
        for day in days:
            server.put(str(series.daily(day).path), zipped(rows(day)))

    return put


@pytest.fixture
def spot(project: Project) -> Instrument:
    return project.settings.universe[SPOT]


def fetch(
    project: Project,
    days: Sequence[date],
    name: str = SPOT,
    pace: Pace = QUICK,
    **options: bool,
) -> Fetched:
    """Fetch what is missing of some days, as the command does."""
    fetcher = ArchiveFetcher(project, pace=pace, today=TODAY, **options)
    instrument = project.settings.universe[name]
    missing = fetcher.missing(project.open_lake(), instrument, days)
    (fetched,) = fetcher.fetch({instrument: missing})
    return fetched


def paths(server: ArchiveServer) -> list[str]:
    """The names of the files that were asked for, without checksums, in order; and forgets them."""
    asked = [path.rsplit("/", 1)[-1] for path, _ in server.requests]
    server.requests.clear()
    return [name for name in asked if not name.endswith(".CHECKSUM")]


def files(project: Project) -> list[str]:
    """What readers of the mirror see, without checksums."""
    found = (project.lake_root / "archive").rglob("[!.]*.zip")
    return sorted(path.name for path in found)


def assert_whole(project: Project) -> None:
    """Whatever lies in the mirror is whole."""
    for path in (project.lake_root / "archive").rglob("[!.]*"):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None


def test_months_that_are_over_come_whole_and_other_days_by_themselves(
    server: ArchiveServer, project: Project, spot: Instrument, publish: Callable[..., None]
) -> None:
    publish(JANUARY, month=True)
    publish([*FEBRUARY, *MARCH])  # the file of February is not published yet
    days = [*JANUARY, *FEBRUARY, *MARCH]
    fetcher = ArchiveFetcher(project, today=TODAY)
    plan = fetcher.plan(spot, days)
    assert [item.what for item in plan[:3]] == [
        "XRPETH-aggTrades-2025-01.zip",
        "XRPETH-aggTrades-2025-02.zip",
        "XRPETH-aggTrades-2025-03-01.zip",
    ]
    assert plan[0].days == tuple(JANUARY)
    assert plan[0].place == (
        f"{server.url}/data/spot/monthly/aggTrades/XRPETH/XRPETH-aggTrades-2025-01.zip"
    )
    assert server.requests == []

    fetched = fetch(project, days)
    assert fetched == Fetched(SPOT, tuple(days), received=fetched.received)
    assert fetched.received > 0
    asked = paths(server)
    assert len(asked) == len(set(asked)) == 2 + len(FEBRUARY) + len(MARCH)
    assert len(files(project)) == 1 + len(FEBRUARY) + len(MARCH)
    mirror = fetcher.source(spot)
    assert mirror.days(spot, days[0], days[-1]) == days
    landed = dict(land_days(project.open_lake(), mirror, spot, days))
    assert landed == dict.fromkeys(days, True)


def test_only_what_is_missing_is_asked_for(
    server: ArchiveServer, project: Project, spot: Instrument, publish: Callable[..., None]
) -> None:
    publish([*JANUARY, *FEBRUARY])
    publish(JANUARY, month=True)
    assert fetch(project, JANUARY[:5]).days == tuple(JANUARY[:5])
    paths(server)
    assert fetch(project, JANUARY[:5]) == Fetched(SPOT)
    assert paths(server) == []
    # A month of which some days are there is not asked for as a whole.
    assert fetch(project, JANUARY).days == tuple(JANUARY[5:])
    assert "XRPETH-aggTrades-2025-01.zip" not in paths(server)
    # What has landed and left the folder is there all the same.
    lake = project.open_lake()
    list(land_days(lake, ArchiveFetcher(project).source(spot), spot, JANUARY))
    shutil.rmtree(project.lake_root / "archive")
    land_absent(lake, spot, FEBRUARY[0])
    assert fetch(project, [*JANUARY, *FEBRUARY[:3]]).days == tuple(FEBRUARY[1:3])
    assert sorted(paths(server)) == [f"XRPETH-aggTrades-{day}.zip" for day in FEBRUARY[1:3]]


def test_days_that_only_stand_in_for_the_archives_are_missing(
    project: Project, spot: Instrument, publish: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / "day.csv"
    path.write_text(rows(JANUARY[0]))
    frame = binance.read_agg_trades(SourceFile.open(path)).frame
    lake = project.open_lake()
    for day, provenance in ((JANUARY[0], {FETCHED: "rest"}), (JANUARY[1], {})):
        write_part(lake, spot, "trades", day, frame, "a" * 64, provenance)
    fetcher = ArchiveFetcher(project, today=TODAY)
    assert fetcher.missing(lake, spot, JANUARY[:3]) == [JANUARY[0], JANUARY[2]]


def test_files_of_days_only_if_that_is_wanted(
    server: ArchiveServer, project: Project, publish: Callable[..., None]
) -> None:
    publish(JANUARY)
    publish(JANUARY, month=True)
    assert fetch(project, JANUARY, monthly=False).days == tuple(JANUARY)
    assert sorted(paths(server)) == [f"XRPETH-aggTrades-{day}.zip" for day in JANUARY]


def test_days_that_the_archive_does_not_have_are_told_and_keep_no_other_waiting(
    project: Project, publish: Callable[..., None]
) -> None:
    publish([day for day in JANUARY if day.day not in (7, 8, 20)])
    fetched = fetch(project, JANUARY)
    assert [day.day for day in fetched.absent] == [7, 8, 20]
    assert len(fetched.days) == 28
    assert not fetched.failed
    publish([JANUARY[6]])  # it was late
    assert fetch(project, JANUARY).days == (JANUARY[6],)


def test_today_and_the_future_are_never_asked_for(
    server: ArchiveServer, project: Project, publish: Callable[..., None]
) -> None:
    assert fetch(project, list(each_day(TODAY, date(2025, 4, 30)))) == Fetched(SPOT)
    assert server.requests == []


def test_a_file_that_can_not_be_had_keeps_no_other_waiting_and_comes_later(
    server: ArchiveServer, project: Project, publish: Callable[..., None]
) -> None:
    publish(MARCH)
    path = str(Series.of(project.settings.universe[SPOT]).daily(MARCH[4]).path)
    server.faults[path] = [status(500) for _ in range(3)]
    fetched = fetch(project, MARCH)
    assert fetched.days == tuple(day for day in MARCH if day != MARCH[4])
    (told,) = fetched.failed.values()
    assert isinstance(told, FetchError)
    assert told.where == f"{server.url}/{path}"
    assert fetch(project, MARCH).days == (MARCH[4],)


def test_a_month_that_fails_is_told_of_each_of_its_days(
    server: ArchiveServer, project: Project, publish: Callable[..., None]
) -> None:
    publish(JANUARY, month=True)
    path = str(Series.of(project.settings.universe[SPOT]).monthly(JANUARY[0]).path)
    server.faults[path] = [content(b"PK, or so it says")] * 2
    fetched = fetch(project, JANUARY)
    assert list(fetched.failed) == JANUARY
    assert files(project) == []


def test_corrected_files_come_anew_if_that_is_wanted(
    server: ArchiveServer, project: Project, spot: Instrument, publish: Callable[..., None]
) -> None:
    publish(JANUARY, month=True)
    publish(MARCH)
    every = [*JANUARY, *MARCH]
    fetch(project, every)
    paths(server)
    assert fetch(project, every, corrected=True).days == ()
    assert paths(server) == []  # checksums are enough
    path = str(Series.of(spot).daily(MARCH[2]).path)
    server.put(path, zipped(rows(MARCH[2], count=6)))
    text = "".join(rows(day, count=6) for day in JANUARY)
    server.put(str(Series.of(spot).monthly(JANUARY[0]).path), zipped(text))
    assert fetch(project, every, corrected=True).days == (*JANUARY, MARCH[2])
    assert sorted(paths(server)) == [
        "XRPETH-aggTrades-2025-01.zip", f"XRPETH-aggTrades-{MARCH[2]}.zip",
    ]  # fmt: skip


def test_funding_rates_of_months_that_are_over_come_along(
    server: ArchiveServer, project: Project
) -> None:
    instrument = project.settings.universe[PERPETUAL]
    funding = Series.funding(instrument)
    assert funding is not None
    january = "calc_time,funding_interval_hours,last_funding_rate\n1735689600000,8,0.0001\n"
    server.put(str(funding.monthly(JANUARY[0]).path), zipped(january))
    server.put(str(Series.of(instrument).daily(MARCH[0]).path), zipped("x"))
    fetched = fetch(project, [JANUARY[0], FEBRUARY[0], MARCH[0]], PERPETUAL)
    assert fetched.days == (MARCH[0],)
    assert fetched.absent == (JANUARY[0], FEBRUARY[0])
    assert fetched.notes == ("the archive has no funding rates of 2025-02, or not yet",)
    assert "BTCUSDT-fundingRate-2025-01.zip" in files(project)
    asked = paths(server)
    assert "BTCUSDT-fundingRate-2025-03.zip" not in asked  # it isn't over
    assert f"BTCUSDT-trades-{MARCH[0]}.zip" in asked
    fetch(project, [JANUARY[0], FEBRUARY[0], MARCH[0]], PERPETUAL)
    assert "BTCUSDT-fundingRate-2025-01.zip" not in paths(server)


def test_so_many_are_asked_for_at_once_and_no_more(
    server: ArchiveServer, project: Project, publish: Callable[..., None]
) -> None:
    publish(JANUARY)  # the file of the month isn't there: its days are shared out all the same
    server.pause = 0.03
    fetch(project, JANUARY, pace=Pace(jobs=5, spacing=0.0))
    assert server.most_at_once == 5


def test_progress_is_told_as_bytes_and_days_come(
    project: Project, spot: Instrument, publish: Callable[..., None]
) -> None:
    publish(MARCH[1:])
    told: list[Progress] = []
    fetcher = ArchiveFetcher(project, pace=QUICK, today=TODAY)
    (fetched,) = fetcher.fetch({spot: MARCH}, told.append)
    assert {each.instrument for each in told} == {SPOT}
    assert [each.done for each in told] == sorted(each.done for each in told)
    assert (told[-1].done, told[-1].total) == (len(MARCH), len(MARCH))
    assert told[-1].received == fetched.received
    assert any(f"XRPETH-aggTrades-{MARCH[3]}.zip" in each.doing for each in told)
    assert told[-1].doing == ""


def test_without_an_address_or_a_folder_it_says_what_to_write(
    server: ArchiveServer, project: Project, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no address to fetch files of kraken") as caught:
        fetch(project, JANUARY, "kraken.spot.EOS-USD")
    assert "[sources.urls]" in str(caught.value.hint)
    (tmp_path / "vostok.toml").write_text(
        SETTINGS.format(urls=f'[sources.urls]\nkraken = "{server.url}"\n')
    )
    with pytest.raises(UsageError, match="kraken has no folder") as caught:
        fetch(find_project(tmp_path, {}), JANUARY, "kraken.spot.EOS-USD")
    assert '`kraken = "archive/kraken"` to [sources.archives]' in str(caught.value.hint)


CHILD = """
import json, sys
from datetime import date
from pathlib import Path
from vostok_core.errors import VostokError
from vostok_core.project import find_project
from vostok_pipelines.fetching.archive import ArchiveFetcher
from vostok_pipelines.fetching.polite import Pace

root, first, last = Path(sys.argv[1]), *map(date.fromisoformat, sys.argv[2:4])
project = find_project(root, {})
from vostok_core.times import days
instrument = project.settings.universe["binance.spot.XRP-ETH"]
fetcher = ArchiveFetcher(project, pace=Pace(pause=0.01, spacing=0.0), today=date(2025, 3, 10))
print("at work", flush=True)
try:
    (fetched,) = fetcher.fetch({instrument: list(days(first, last))})
    print(json.dumps(len(fetched.days)), flush=True)
except VostokError as error:
    print(json.dumps(error.to_json()), flush=True)
"""


def child(project: Project, days: Sequence[date], *before: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", CHILD, str(project.root), str(days[0]), str(days[-1])]
    return subprocess.Popen([*before, *words], stdout=subprocess.PIPE, text=True)


def test_a_fetch_that_was_killed_leaves_whole_files_and_goes_on(
    server: ArchiveServer, project: Project, publish: Callable[..., None]
) -> None:
    publish([*JANUARY, *MARCH])
    publish(JANUARY, month=True)
    moments = random.Random(2)
    big = random.Random(1).randbytes(200_000)
    path = str(Series.of(project.settings.universe[SPOT]).monthly(JANUARY[0]).path)
    server.put(path, big)
    days = list(each_day(JANUARY[0], MARCH[-1]))
    for _ in range(3):
        server.faults[path] = [trickle(server, 4_000, 0.02)]
        killed = child(project, days)
        assert killed.stdout is not None
        with killed.stdout:
            assert killed.stdout.readline() == "at work\n"
            time.sleep(moments.uniform(0.1, 0.4))
            killed.kill()
            killed.wait()
        assert path.rsplit("/", 1)[-1] not in files(project)
        assert_whole(project)
    server.faults.clear()
    server.faults[path] = [cut(server, 100)]
    fetched = fetch(project, days)
    assert set(fetched.days) >= set(JANUARY)
    assert (project.lake_root / "archive" / path).read_bytes() == big
    assert any("Range" in headers for headers in server.asked(path))
    assert not list((project.lake_root / "archive").rglob(".*.part*"))


NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")


@pytest.mark.parametrize(
    ("options", "told"), [("size=300k", "No space left"), ("size=4m,ro", "Read-only file system")]
)
def test_a_full_or_unwritable_folder_is_told_and_no_file_is_half_there(
    server: ArchiveServer,
    project: Project,
    publish: Callable[..., None],
    options: str,
    told: str,
) -> None:
    place = project.lake_root / "archive"
    place.mkdir(parents=True)
    mount = f'mount -t tmpfs -o {options} tmpfs "{place}"'
    if subprocess.run([*NAMESPACE, mount], check=False, capture_output=True).returncode:
        pytest.skip("this system doesn't let a test mount a file system of its own")
    noise = random.Random(1)
    for day in MARCH:
        path = Series.of(project.settings.universe[SPOT]).daily(day).path
        server.put(str(path), noise.randbytes(100_000))
    show = f'find "{place}" -type f ! -name ".*" -name "*.zip" -size +0 -printf "%s\\n"'
    limited = child(project, MARCH, *NAMESPACE, f'{mount} && "$@" && {show}', "sh")
    lines = limited.communicate(timeout=120)[0].splitlines()
    error = json.loads(lines[1])
    assert error["kind"] == "FetchError"
    assert told in error["what"]
    assert "asking again goes on where it stopped" in error["hint"]
    assert set(lines[2:]) <= {"100000"}


def test_a_file_where_a_folder_should_be_is_told(
    project: Project, publish: Callable[..., None]
) -> None:
    publish(MARCH)
    (project.lake_root / "archive").mkdir(parents=True)
    (project.lake_root / "archive" / "data").write_text("in the way")
    with pytest.raises(FetchError, match="can't be written") as caught:
        fetch(project, MARCH)
    assert "mend the rights" in str(caught.value.hint)
