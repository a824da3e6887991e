"""`vostok fetch`: from an archive on loopback to bars and features, by one command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.fetching.archive_server import ArchiveServer, zipped
from vostok.cli.making import pieces
from vostok_core.lake.store import Lake
from vostok_core.times import days as each_day

SPOT, PERPETUAL = "binance.spot.BTC-USDT", "binance.usdm.BTC-USDT"
FIRST, THIRD = date(2024, 1, 1), date(2024, 1, 3)
RANGE = ("--from", FIRST, "--to", THIRD)
DAILY = "data/spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-{}.zip"
MONTHLY = "data/spot/monthly/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-01.zip"
USDM = """
[instruments."binance.usdm.BTC-USDT"]
tick = "agg_trade"
price_tick = "0.01"
quantity_step = "0.00001"
"""


@pytest.fixture
def server(folder: Path) -> Iterator[ArchiveServer]:
    """An archive that the project fetches from."""
    with ArchiveServer() as running:
        with (folder / "vostok.toml").open("a") as file:
            file.write(f'{USDM}\n[sources.urls]\nbinance = "{running.url}"\n')
        yield running


@pytest.fixture
def publish(server: ArchiveServer, agg_trades: Callable[..., str]) -> Callable[..., None]:
    """Puts files of days on the server, numbered from 2024-01-01."""

    def put(*numbers: int) -> None:
        for number in numbers:
            day = FIRST + timedelta(days=number)
            server.put(DAILY.format(day), zipped(agg_trades(number)))

    return put


def bars_of(folder: Path, name: str = SPOT) -> list[date]:
    lake = Lake.open(folder / "data_lake", create=False)
    return lake.days("bars", instrument=name, interval="1m")


def test_a_dry_run_lists_what_is_missing_and_asks_nobody(
    folder: Path, server: ArchiveServer, vostok
) -> None:
    result = vostok("fetch", SPOT, *RANGE, "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"{SPOT}: 3 of 3 days are missing",
        *(f"  {server.url}/{DAILY.format(day)}" for day in each_day(FIRST, THIRD)),
    ]
    whole = vostok("fetch", SPOT, "--from", FIRST, "--to", "2024-02-01", "--dry-run", "--json")
    (found,) = json.loads(whole.stdout)
    assert found["missing"] == [{"from": "2024-01-01", "to": "2024-02-01"}]
    assert [each["what"] for each in found["files"]] == [
        "BTCUSDT-aggTrades-2024-01.zip", "BTCUSDT-aggTrades-2024-02-01.zip",
    ]  # fmt: skip
    assert found["files"][0]["days"] == [{"from": "2024-01-01", "to": "2024-01-31"}]
    assert found["files"][0]["from"] == f"{server.url}/{MONTHLY}"
    assert server.requests == []
    assert not (folder / "data_lake" / "archive").exists()


def test_days_are_fetched_and_made_and_again_nothing_is_asked_for(
    folder: Path, server: ArchiveServer, publish: Callable[..., None], vostok
) -> None:
    publish(0, 1)
    result = vostok("fetch", SPOT, *RANGE)
    assert result.exit_code == 0, result.stderr
    assert f"fetched {SPOT}: 2 days, 2024-01-01 to 2024-01-02, " in result.stdout
    assert "materialized 2024-01-01 to 2024-01-02: run " in result.stdout
    assert f"Warning: {SPOT}: the archive has no file of 2024-01-03. Hint: " in result.stderr
    assert bars_of(folder) == [FIRST, FIRST + timedelta(days=1)]
    lake = Lake.open(folder / "data_lake", create=False)
    assert lake.read("ticks", instrument=SPOT, date=FIRST).height == 600
    server.requests.clear()

    publish(2)
    result = vostok("fetch", SPOT, *RANGE, "--json")
    assert result.exit_code == 0, result.stderr
    (done,) = json.loads(result.stdout)
    assert done["missing"] == done["fetched"] == [{"from": "2024-01-03", "to": "2024-01-03"}]
    assert [(each["from"], each["to"]) for each in done["materialized"]] == [
        ("2024-01-03", "2024-01-03")
    ]
    assert done["failed"] == done["unusable"] == done["absent"] == done["notes"] == []
    assert done["received_bytes"] == len(server.files[DAILY.format(THIRD)])
    assert "materialized 2024-01-03" in result.stderr  # progress is beside the document
    assert {path for path, _ in server.requests} == {
        DAILY.format(THIRD), f"{DAILY.format(THIRD)}.CHECKSUM",
    }  # fmt: skip
    server.requests.clear()
    last = vostok("fetch", SPOT, *RANGE)
    assert last.stdout == f"{SPOT}: no day was missing\n"
    assert server.requests == []


def test_a_day_that_can_not_be_used_is_told_and_the_others_are_made(
    folder: Path, server: ArchiveServer, publish: Callable[..., None], vostok
) -> None:
    """What came before and was never made is made too, as after a fetch that was killed."""
    publish(0, 1, 2)
    second = FIRST + timedelta(days=1)
    server.put(DAILY.format(second), zipped("1,2,3\n"))
    server.put(DAILY.format(THIRD), b"x", checksum="ab" * 32)
    assert vostok("fetch", SPOT, "--from", FIRST, "--to", FIRST, "--land-only").exit_code == 0
    assert bars_of(folder) == []
    result = vostok("fetch", SPOT, *RANGE, "--json")
    assert result.exit_code == 1
    (done,) = json.loads(result.stdout)
    (failed,), (unusable,) = done["failed"], done["unusable"]
    assert failed["days"] == [{"from": "2024-01-03", "to": "2024-01-03"}]
    assert failed["error"]["kind"] == "FetchError"
    assert unusable["days"] == [{"from": "2024-01-02", "to": "2024-01-02"}]
    assert "line 1: found 3 columns" in unusable["error"]["what"]
    assert result.stderr.count("Error: binance.spot.BTC-USDT 2024-01-0") == 2
    assert bars_of(folder) == [FIRST]


def test_a_month_comes_as_one_file(
    folder: Path, server: ArchiveServer, agg_trades: Callable[..., str], vostok
) -> None:
    text = "".join(agg_trades(day, 20) for day in range(31))
    server.put(MONTHLY, zipped(text))
    result = vostok(
        "fetch", SPOT, "--from", FIRST, "--to", "2024-01-31", "--jobs", 2, "--land-only"
    )
    assert result.exit_code == 0, result.stderr
    lake = Lake.open(folder / "data_lake", create=False)
    assert len(lake.days("raw_trades", instrument=SPOT)) == 31
    assert lake.days("ticks", instrument=SPOT) == []
    assert {path for path, _ in server.requests} == {MONTHLY, f"{MONTHLY}.CHECKSUM"}


def test_funding_rates_are_fetched_or_ingested_and_land_in_their_table(
    folder: Path, server: ArchiveServer, agg_trades: Callable[..., str], vostok
) -> None:
    header = "calc_time,funding_interval_hours,last_funding_rate\n"
    january, february = (
        header + "".join(f"{start + 28_800_000 * k},8,0.0001\n" for k in range(87))
        for start in (1_704_067_200_000, 1_706_745_600_000)
    )
    base = "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-01.zip"
    server.put(base, zipped(january))
    day = "data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-01-01.zip"
    server.put(day, zipped(agg_trades().replace(",True\n", "\n")))
    result = vostok("fetch", PERPETUAL, "--from", FIRST, "--to", FIRST)
    assert result.exit_code == 0, result.stderr
    assert "materialized funding rates of 2024-01-01 to 2024-01-01: run " in result.stdout
    assert bars_of(folder, PERPETUAL) == [FIRST]
    query = "SELECT count(*) AS n, sum(rate) AS paid FROM funding"
    (found,) = json.loads(vostok("sql", query, "--format", "json").stdout)
    assert found == {"n": 3, "paid": pytest.approx(0.0003)}
    path = folder / "BTCUSDT-fundingRate-2024-02.csv"
    path.write_text(february)
    landed = vostok("ingest", path, "--instrument", PERPETUAL, "--format", "binance-funding")
    assert landed.exit_code == 0, landed.stderr
    refused = vostok("ingest", path, "--instrument", SPOT, "--format", "binance-funding")
    assert refused.exit_code == 2
    assert "has no funding rates" in refused.stderr


def test_what_can_not_be_meant_is_wrong_usage(server: ArchiveServer, vostok) -> None:
    today = datetime.now(UTC).date()
    for arguments, told in {
        (SPOT, "--from", "2016-01-01", "--to", "2016-01-02"): "2016-01-01 is not a day of the",
        (SPOT, "--from", FIRST, "--to", today): f"{today} is not a day of the calendar",
        (SPOT, "--from", THIRD, "--to", FIRST): "lies before --from",
        ("kraken.spot.BTC-USDT", *RANGE): "no address to fetch files of kraken from is known",
        ("binance.spot.DOGE-USDT", *RANGE): "no instrument is called",
    }.items():
        result = vostok("fetch", *arguments)
        assert result.exit_code == 2, arguments
        assert told in result.stderr
        assert "Hint: " in result.stderr
    assert server.requests == []


def test_a_long_range_is_made_by_quarters_and_a_short_one_at_once() -> None:
    assert pieces(date(2024, 12, 5), date(2025, 2, 28)) == [(date(2024, 12, 5), date(2025, 2, 28))]
    found = pieces(date(2024, 11, 5), date(2025, 8, 2))
    assert found[0] == (date(2024, 11, 5), date(2024, 12, 31))
    assert found[1] == (date(2025, 1, 1), date(2025, 3, 31))
    assert found[-1] == (date(2025, 7, 1), date(2025, 8, 2))
    days = [day for first, last in found for day in each_day(first, last)]
    assert days == list(each_day(date(2024, 11, 5), date(2025, 8, 2)))
