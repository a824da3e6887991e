"""From a file on disk to bars and features in the lake, by one command, through Dagster."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from vostok_core.lake.store import Lake
from vostok_core.project import find_project
from vostok_pipelines.launch import Launcher

INSTRUMENT = "binance.spot.BTC-USDT"
START = 1_704_067_200_000  # 2024-01-01 00:00 UTC, in milliseconds
DAYS = ("2024-01-01", "2024-01-02")
ARGUMENTS = ("--instrument", INSTRUMENT, "--format", "binance-aggtrades")


def content(lake: Path) -> dict[str, bytes]:
    """Every partition of a lake, without the instance and the catalog."""
    return {
        str(path.relative_to(lake)): path.read_bytes() for path in sorted(lake.rglob("*.parquet"))
    }


@pytest.fixture
def archive(folder: Path, agg_trades: Callable[..., str]) -> Path:
    """Two days of files in a folder."""
    place = folder / "archive"
    place.mkdir()
    for day in range(2):
        (place / f"BTCUSDT-aggTrades-2024-01-0{day + 1}.csv").write_text(agg_trades(day))
    return place


def test_folder_becomes_ticks_bars_and_features_and_again_changes_nothing(
    folder: Path, archive: Path, vostok
) -> None:
    result = vostok("ingest", archive, *ARGUMENTS)
    assert result.exit_code == 0, result.stderr
    assert "600 trades" in result.stdout
    assert "materialized 2024-01-01 to 2024-01-02: run " in result.stdout
    lake = Lake.open(folder / "data_lake", create=False)
    for day in ("2024-01-01", "2024-01-02"):
        assert lake.read("ticks", instrument=INSTRUMENT, date=day).height == 600
        bars = lake.read("bars", instrument=INSTRUMENT, interval="1m", date=day)
        assert bars["trades"].sum() == 600
        keys = {"pack": "core", "instrument": INSTRUMENT, "interval": "1m", "date": day}
        assert lake.read("features", **keys)["ts"].equals(bars["ts"])
    before = content(lake.root)
    assert vostok("ingest", archive, *ARGUMENTS).exit_code == 0
    assert content(lake.root) == before
    query = "SELECT count(*) AS days FROM (SELECT DISTINCT date FROM bars)"
    assert json.loads(vostok("sql", query, "--format", "json").stdout) == [{"days": 2}]


def test_land_only_materializes_nothing_until_materialize_does(
    folder: Path, archive: Path, vostok
) -> None:
    assert vostok("ingest", archive, *ARGUMENTS, "--land-only").exit_code == 0
    lake = Lake.open(folder / "data_lake", create=False)
    assert lake.days("ticks", instrument=INSTRUMENT) == []
    result = vostok(
        "materialize", "ticks,klines,quality,bars", "--instrument", INSTRUMENT,
        "--from", "2024-01-01", "--to", "2024-01-02", "--lake", lake.root,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert len(lake.days("bars", instrument=INSTRUMENT, interval="1m")) == 2


def test_malformed_file_is_named_and_the_lake_is_left_as_it_was(
    folder: Path, archive: Path, agg_trades: Callable[..., str], vostok
) -> None:
    assert vostok("ingest", archive, *ARGUMENTS).exit_code == 0
    before = content(folder / "data_lake")
    bad = folder / "bad.csv"
    bad.write_text(agg_trades(2).replace("100.05", "free", 1))
    result = vostok("ingest", bad, *ARGUMENTS)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {bad}")
    assert result.stderr.count("\n") == 1
    assert "Hint: " in result.stderr
    assert content(folder / "data_lake") == before


def test_day_that_never_landed_is_named_with_the_command_that_helps(vostok) -> None:
    result = vostok(
        "materialize", "ticks,klines,quality", "--instrument", INSTRUMENT,
        "--from", "2024-01-01", "--to", "2024-01-01",
    )  # fmt: skip
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "vostok ingest" in result.stderr


def test_features_are_the_packs_that_are_kept_for_the_instrument(folder: Path, vostok) -> None:
    """Klines, and no strategy that trades them; another strategy's pack needs news."""
    with (folder / "strategies" / "flow.toml").open("a") as file:
        file.write('[features]\npacks = ["core", "sentiment"]\n')
    klines = "".join(f"{START + i * 60_000},10,13,10,12,5\n" for i in range(1440))
    (folder / "klines.csv").write_text("ts,open,high,low,close,volume\n" + klines)
    chosen = ("--instrument", "ETH/USD")
    result = vostok("ingest", "klines.csv", *chosen, "--format", "csv")
    assert result.exit_code == 0, result.stderr
    range_ = ("--from", "2024-01-01", "--to", "2024-01-01")
    result = vostok("materialize", "bars,features", *chosen, *range_)
    assert result.exit_code == 0, result.stderr
    assert ": bars, features/core: run " in result.stdout
    launcher = Launcher(find_project(folder, {}))
    assert launcher.resolve("features", INSTRUMENT) == ["features/core", "features/sentiment"]


def test_unknown_asset_is_wrong_usage_with_the_nearest_name(vostok) -> None:
    result = vostok(
        "materialize", "feature", "--instrument", INSTRUMENT,
        "--from", "2024-01-01", "--to", "2024-01-01",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "no asset is called 'feature'" in result.stderr


def test_day_that_the_exchange_has_no_file_of_is_noted_and_made(
    folder: Path, archive: Path, agg_trades: Callable[..., str], vostok
) -> None:
    """Two files with two days between them, of which nobody would know whether they are late."""
    second = archive / "BTCUSDT-aggTrades-2024-01-02.csv"
    second.unlink()
    (archive / "BTCUSDT-aggTrades-2024-01-04.csv").write_text(agg_trades(3))
    result = vostok("ingest", archive, *ARGUMENTS, "--absent", "2024-01-02..2024-01-03")
    assert result.exit_code == 0, result.stderr
    assert "noted as absent: 2 days, 2024-01-02 to 2024-01-03\n" in result.stdout
    assert "materialized 2024-01-01 to 2024-01-04" in result.stdout
    lake = Lake.open(folder / "data_lake", create=False)
    for day in ("2024-01-02", "2024-01-03"):
        assert lake.read("ticks", instrument=INSTRUMENT, date=day).is_empty()
        bars = lake.read("bars", instrument=INSTRUMENT, interval="1m", date=day)
        assert bars.height == 1440
        assert bars["trades"].sum() == 0
        assert bars["valid"].mean() < 0.1
    before = content(lake.root)
    again = vostok("ingest", "--instrument", INSTRUMENT, "--absent", "2024-01-03")
    assert again.exit_code == 0, again.stderr
    assert content(lake.root) == before
    second.write_text(agg_trades(1))  # it was late after all
    assert vostok("ingest", second, *ARGUMENTS).exit_code == 0
    assert lake.read("ticks", instrument=INSTRUMENT, date="2024-01-02").height == 600


def test_day_that_has_landed_cannot_be_absent(archive: Path, vostok) -> None:
    assert vostok("ingest", archive, *ARGUMENTS, "--land-only").exit_code == 0
    result = vostok("ingest", "--instrument", INSTRUMENT, "--absent", "2024-01-02")
    assert result.exit_code == 2
    assert "has landed on 2024-01-02" in result.stderr
    assert "--replace" in result.stderr


def test_files_take_the_place_of_what_has_landed_of_their_days(
    folder: Path, archive: Path, agg_trades: Callable[..., str], vostok
) -> None:
    assert vostok("ingest", archive, *ARGUMENTS).exit_code == 0
    lake = Lake.open(folder / "data_lake", create=False)
    lines = agg_trades(1).splitlines(keepends=True)
    halves = [archive.parent / "1.csv", archive.parent / "2.csv"]
    for half, part in zip(halves, (lines[:200], lines[200:500]), strict=True):
        half.write_text("".join(part))
    result = vostok("ingest", *halves, *ARGUMENTS, "--replace")
    assert result.exit_code == 0, result.stderr
    rows = {day: lake.read("ticks", instrument=INSTRUMENT, date=day).height for day in DAYS}
    assert rows == dict(zip(DAYS, (600, 500), strict=True))
    none = vostok(
        "ingest", "--instrument", INSTRUMENT, "--absent", DAYS[1], "--replace", "--land-only"
    )
    assert none.exit_code == 0, none.stderr


def test_day_that_is_not_over_lands_and_is_left_out_with_a_warning(
    folder: Path, archive: Path, agg_trades: Callable[..., str], vostok
) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    (archive / "new.csv").write_text(agg_trades((tomorrow - date(2024, 1, 1)).days))
    result = vostok("ingest", archive, *ARGUMENTS)
    assert result.exit_code == 0, result.stderr
    assert "materialized 2024-01-01 to 2024-01-02" in result.stdout
    assert result.stderr == (
        f"Warning: landed, and not materialized: 1 day, {tomorrow} to {tomorrow}. Hint: days run "
        "from calendar.start = 2017-01-01 of vostok.toml through yesterday (UTC); change it, or "
        "ingest again once the day is over\n"
    )
    lake = Lake.open(folder / "data_lake", create=False)
    assert lake.days("raw_trades", instrument=INSTRUMENT)[-1] == tomorrow
    assert len(lake.days("ticks", instrument=INSTRUMENT)) == 2


@pytest.mark.long
def test_klines_land_beside_trades_and_are_held_against_the_bars(
    folder: Path, archive: Path, vostok
) -> None:
    place = {"instrument": INSTRUMENT, "interval": "1m"}
    opens = [START + i * 60_000 for i in range(1440)]
    klines = folder / "klines.csv"
    header = "ts,open,high,low,close,volume\n"
    klines.write_text(header + "".join(f"{ts},10,10,10,10,0\n" for ts in opens))
    chosen = ("--instrument", INSTRUMENT, "--format", "csv", "--kind", "klines")
    # Before any trade has landed they are kept for later.
    assert vostok("ingest", klines, *chosen).exit_code == 0
    lake = Lake.open(folder / "data_lake", create=False)
    assert lake.days("klines", **place) == [date(2024, 1, 1)]
    assert lake.days("bars", **place) == []
    # Then they speak of another market, and the day's bars are not built.
    result = vostok("ingest", archive, *ARGUMENTS)
    assert result.exit_code == 1
    assert "no bars are built of 2024-01-01" in result.stderr
    assert "minutes differ from the klines that the exchange published" in result.stderr
    assert lake.days("bars", **place) == [date(2024, 1, 2)]

    def published(change: float) -> None:
        ticks = lake.read("ticks", instrument=INSTRUMENT, date="2024-01-01")
        traded = dict(zip(ticks["ts"].to_physical() // 60_000_000, ticks["price"], strict=True))
        lines, last = [], 0.0
        for ts in opens:
            last = traded.get(ts // 60_000, last)
            shown = last + change if ts == START else last
            volume = 0.5 if ts // 60_000 in traded else 0
            lines.append(f"{ts},{shown},{shown},{shown},{shown},{volume}\n")
        klines.write_text(header + "".join(lines))

    published(0.0)
    result = vostok("ingest", klines, *chosen, "--replace")
    assert result.exit_code == 0, result.stderr
    result = vostok("ingest", archive, *ARGUMENTS)
    assert result.exit_code == 0, result.stderr
    published(1.0)
    result = vostok("ingest", klines, *chosen, "--replace")
    assert result.exit_code == 0, result.stderr
    assert "compared 2024-01-01 to 2024-01-01: run " in result.stdout
    assert (
        "Warning: 1 of 1440 minutes of 2024-01-01 differ from these klines, worst the bar of 00:01 "
        "in open, high, low, close: "
    ) in result.stderr
    published(0.0)
    result = vostok("ingest", klines, *chosen, "--replace")
    assert "2024-01-01: the bars of 1440 minutes are those klines" in result.stdout


ONLY = ("--instrument", INSTRUMENT)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (ONLY, "nothing to ingest"),
        (("archive", *ONLY), "binance-aggtrades"),
        ((*ONLY, "--absent", "2024-01-02", "--format", "csv"), "none is named"),
        ((*ONLY, "--absent", "2024-01-02", "--kind", "klines"), "none is named"),
        ((*ONLY, "--absent", "tomorrow"), "'tomorrow' is not a day"),
        ((*ONLY, "--absent", "2024-01-02..2024-01-01"), "write 2024-01-01..2024-01-02"),
        ((*ONLY, "--absent", "2016-12-31"), "calendar.start = 2017-01-01"),
        ((*ONLY, "--absent", "2999-01-01"), "through yesterday"),
        (("archive", *ARGUMENTS, "--absent", "2999-01-01"), "through yesterday"),
    ],
)
def test_ingest_that_cannot_be_meant_is_told_and_writes_nothing(
    folder: Path, archive: Path, vostok, arguments: tuple[str, ...], message: str
) -> None:
    result = vostok("ingest", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Hint: " in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (folder / "data_lake").exists()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("day.zip", b"<!DOCTYPE html><html>Not Found</html>", "a server's answer may"),
        ("day.csv", b'{"code":-1121,"msg":"Invalid symbol."}', 'JSON: {"code":-1121,'),
        ("day.csv", b"PAR1 and so on", "this is a Parquet file"),
        ("day.ZIP", bytes(range(128, 255)), "damaged or cut off"),
        ("day.csv", b" \n", "the file is empty"),
    ],
)
def test_file_that_is_seen_to_be_none_is_refused_before_there_is_a_lake(
    folder: Path, archive: Path, vostok, name: str, data: bytes, message: str
) -> None:
    (archive / name).write_bytes(data)
    result = vostok("ingest", archive, *ARGUMENTS)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {archive / name}: ")
    assert message in result.stderr
    assert not (folder / "data_lake").exists()


def test_what_the_runs_could_not_use_is_told_before_there_is_a_lake(
    folder: Path, archive: Path, vostok
) -> None:
    with (folder / "vostok.toml").open("a") as target:
        target.write('\n[sentiment]\nscorer = "lexikon"\n')
    result = vostok("ingest", archive, *ARGUMENTS)
    assert result.exit_code == 2
    assert "did you mean lexicon" in result.stderr
    assert not (folder / "data_lake").exists()
