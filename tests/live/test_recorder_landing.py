"""A segment becomes rows of the lake: each thing once, at the exchange's time, breaks included."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.live.recorder_project import ABC
from tests.live.recorder_world import (
    BEGIN_NS,
    SECOND_NS,
    books_of,
    depth_line,
    own_line,
    quote_line,
    trade_line,
    write_lines,
)
from vostok_core.lake.recorder_folder import SUFFIX, segments
from vostok_core.lake.store import Lake
from vostok_core.market.days import (
    ARCHIVE,
    LANDING_VERSION,
    ORDER,
    RECORDED,
    REPAIR,
    parts_in_use,
    read_otherwise,
    ticks_day,
)
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_live.recorder.coverage import KILLED
from vostok_live.recorder.errors import RecorderError
from vostok_live.recorder.landing import land_capture, land_segments

INSTRUMENT = Instrument(
    InstrumentId.parse(ABC), "agg_trade", Decimal("0.01"), Decimal("0.001"), Decimal(5), 10**9
)
BTC = Instrument(
    InstrumentId.parse("binance.spot.BTC-USDT"), "trade", Decimal("0.01"), Decimal("0.00001"),
    Decimal(5), 600 * 10**6,
)  # fmt: skip
DAY, NEXT = date(2025, 3, 31), date(2025, 4, 1)
NAME = f"20250331T23-0123abcd{SUFFIX}"
BEGUN = own_line(
    0, vostok="begun", version=1, instrument=ABC, tick="agg_trade", exchange="embedded", up=False
)
UP = own_line(0.5, vostok="up", connection=1)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(BEGIN_NS / SECOND_NS + seconds, UTC)


def clock(seconds: float, market: float, speed: float = 1.0, *, apart: bool = False) -> str:
    ns = BEGIN_NS + int(seconds * SECOND_NS)
    return own_line(
        seconds, vostok="clock", wall_ns=ns,
        market_us=(BEGIN_NS + int(market * SECOND_NS)) // 1_000, speed=speed,
        round_trip_ns=4_000_000, apart=apart,
    )  # fmt: skip


def fetched(seconds: float, *ids: int) -> str:
    body = [json.loads(trade_line(i, i).split(" ", 1)[1])["data"] for i in ids]
    return own_line(seconds, vostok="trades", from_id=ids[0], body=body)


def snapshot(seconds: float, last_id: int) -> str:
    body = {"lastUpdateId": last_id, "bids": [["99.00", "1.000"]], "asks": [["101.00", "2.000"]]}
    return own_line(seconds, vostok="depth", body=body)


def landed(lake: Lake, folder: Path, *lines: str, cut: int = 0, name: str = NAME) -> None:
    write_lines(folder / name, lines, cut=cut)
    land_segments(lake, INSTRUMENT, folder, keep=False)


def recordings(lake: Lake, day: date = DAY) -> pl.DataFrame:
    return lake.read("recordings", instrument=ABC, date=day).sort("ts", "kind")


def covered(lake: Lake) -> list[tuple[datetime, datetime, str]]:
    rows = recordings(lake).filter(pl.col("kind") == "covered")
    return list(zip(rows["ts"], rows["end_ts"], rows["detail"], strict=True))


def test_every_kind_of_line_lands_in_its_table(lake: Lake, tmp_path: Path) -> None:
    landed(
        lake, tmp_path, BEGUN, UP, clock(0.6, 0.6), trade_line(1, 1), quote_line(10, 1.5),
        depth_line(8, 11, 2), snapshot(2.5, 11), trade_line(2, 3), '1743462000000000000 {"half":',
        own_line(4, vostok="ended", why="stopped"),
    )  # fmt: skip
    assert segments(tmp_path) == []
    keys = {"instrument": ABC, "date": DAY}
    trades = lake.read("raw_trades", **keys)
    assert trades["trade_id"].to_list() == [1, 2]
    assert trades["ts"].to_list() == [at(1), at(3)]
    assert lake.read("raw_quotes", **keys)["ts"].to_list() == [at(1.5)]
    depth = lake.read("raw_depth", **keys)
    assert depth["snapshot"].to_list() == [False, True]
    assert depth["bid_qty"].to_list() == [[11.0], [1.0]]
    kinds = recordings(lake).group_by("kind").agg(pl.col("count").sum())
    assert dict(kinds.iter_rows()) == {
        "clock": 1, "covered": 5, "depth": 1, "quotes": 1, "snapshots": 1, "trades": 2,
        "unusable": 1,
    }  # fmt: skip
    assert covered(lake) == [(at(0.5), at(4), "stopped")]


def test_landing_again_changes_nothing(lake: Lake, tmp_path: Path) -> None:
    lines = [BEGUN, UP, trade_line(1, 1), fetched(2, 2, 3), quote_line(4, 3), depth_line(1, 2, 3)]
    hashes = []
    for _ in range(2):  # as where it was killed before the segment was removed
        landed(lake, tmp_path, *lines)
        parts = {
            name: lake.parts(name, instrument=ABC, date=DAY)
            for name in ("raw_trades", "raw_quotes", "raw_depth", "recordings")
        }
        hashes.append(
            {(n, p.path.name, p.content_hash, p.inputs.get(ORDER)) for n in parts for p in parts[n]}
        )
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == 5


def test_what_two_connections_both_say_lands_once(lake: Lake, tmp_path: Path) -> None:
    said = [trade_line(1, 1), quote_line(3, 2), depth_line(1, 2, 3)]
    later = [trade_line(1, 1), quote_line(3, 4), depth_line(1, 2, 3)]
    landed(lake, tmp_path, BEGUN, UP, *said, *said, *later, snapshot(5, 2), snapshot(6, 2))
    for name in ("raw_trades", "raw_quotes"):
        assert lake.read(name, instrument=ABC, date=DAY).height == 1
    depth = lake.read("raw_depth", instrument=ABC, date=DAY)
    assert depth["snapshot"].to_list() == [False, True]
    quotes = lake.read("raw_quotes", instrument=ABC, date=DAY)
    assert quotes["seen_ts"].to_list() == [at(2)], "when it came first"


def test_a_part_takes_its_place_behind_those_that_have_landed(lake: Lake, tmp_path: Path) -> None:
    for n in range(3):
        landed(lake, tmp_path, BEGUN, UP, trade_line(n, n), name=f"20250331T23-0000000{n}{SUFFIX}")
    parts = lake.parts("raw_trades", instrument=ABC, date=DAY)
    assert [part.inputs[ORDER] for part in parts] == ["0", "1", "2"]
    assert all(RECORDED in part.inputs for part in parts)
    assert read_otherwise(parts) == []


def test_trades_that_were_missed_are_a_part_that_repairs(lake: Lake, tmp_path: Path) -> None:
    """Without it there is a gap, and with it none."""
    landed(
        lake, tmp_path, BEGUN, UP, trade_line(1, 1), trade_line(5, 5), fetched(6, 1, 2, 3, 4, 5),
        trade_line(6, 7), fetched(8, 8, 9),
    )  # fmt: skip
    parts = lake.read_parts("raw_trades", instrument=ABC, date=DAY)
    by_name = {info.path.stem: (info, frame) for info, frame in parts}
    stem = f"part-{NAME.removesuffix(SUFFIX)}"
    streamed, _ = by_name[stem][1], by_name[stem][0]
    assert streamed["trade_id"].to_list() == [1, 5, 6]
    info, seam = by_name[f"{stem}-seam"]
    assert seam["trade_id"].to_list() == [2, 3, 4, 8, 9]
    assert info.inputs[REPAIR].startswith("fetched by id")
    assert json.loads(info.inputs[RECORDED])["seams"] == [[2, 4], [8, 9]]
    ticks, _, _ = ticks_day(lake, INSTRUMENT, DAY)
    assert ticks["trade_id"].to_list() == [1, 2, 3, 4, 5, 6, 8, 9]
    seams = recordings(lake).filter(pl.col("kind") == "seam")
    assert seams["detail"].to_list() == ["trades 2 to 4", "trades 8 to 9"]
    assert seams["count"].to_list() == [3, 2]


def test_the_archive_s_file_takes_what_was_recorded_out_of_use(lake: Lake, tmp_path: Path) -> None:
    keys = {"instrument": ABC, "date": DAY}
    landed(lake, tmp_path, BEGUN, UP, trade_line(1, 1), fetched(2, 2))
    recorded = lake.parts("raw_trades", **keys)
    assert len(parts_in_use(recorded)) == len(recorded) == 2
    rows = lake.read_parts("raw_trades", **keys)[0][1]
    inputs = {ORDER: "2", ARCHIVE: "ABCUSDT-aggTrades-2025-03-31.zip"}
    lake.write(
        "raw_trades", rows, code_version=LANDING_VERSION, inputs=inputs, part="archive", **keys
    )
    # What lands after the archive's file doesn't count beside it either.
    landed(lake, tmp_path, BEGUN, UP, trade_line(3, 3), name=f"20250331T23-00000003{SUFFIX}")
    used = parts_in_use(lake.parts("raw_trades", **keys))
    assert [part.path.stem for part in used] == ["part-archive"]


def test_a_segment_over_midnight_lands_in_both_days(lake: Lake, tmp_path: Path) -> None:
    landed(
        lake, tmp_path, BEGUN, UP, trade_line(1, 3_598), quote_line(5, 3_599),
        trade_line(2, 3_601), quote_line(6, 3_602), depth_line(5, 6, 3_603),
    )  # fmt: skip
    for day, ids in ((DAY, [1]), (NEXT, [2])):
        assert lake.read("raw_trades", instrument=ABC, date=day)["trade_id"].to_list() == ids
    rows = [recordings(lake, day).filter(pl.col("kind") == "covered") for day in (DAY, NEXT)]
    midnight = datetime(2025, 4, 1, tzinfo=UTC)
    assert [(r["ts"].item(), r["end_ts"].item()) for r in rows] == [
        (at(0.5), midnight),
        (midnight, at(3_603)),
    ]
    assert [r["count"].item() for r in rows] == [5, 0]


def test_our_times_become_the_exchange_s_by_its_clock(lake: Lake, tmp_path: Path) -> None:
    """Two seconds ahead, then three: a quote goes by the newest reading before it, or the first."""
    landed(
        lake, tmp_path, BEGUN, UP, quote_line(1, 1), clock(2, 4), quote_line(2, 3), clock(4, 7),
        quote_line(3, 5),
    )  # fmt: skip
    quotes = lake.read("raw_quotes", instrument=ABC, date=DAY)
    assert quotes["ts"].to_list() == [at(3), at(5), at(8)]
    assert quotes["seen_ts"].to_list() == [at(1), at(3), at(5)]
    clocks = recordings(lake).filter(pl.col("kind") == "clock")
    assert clocks["value"].to_list() == [2.0, 3.0]
    assert clocks["detail"].to_list() == ["round trip 4.0 ms"] * 2


def test_market_time_may_go_faster(lake: Lake, tmp_path: Path) -> None:
    landed(lake, tmp_path, BEGUN, UP, clock(0, 0, 60.0, apart=True), quote_line(1, 10))
    quotes = lake.read("raw_quotes", instrument=ABC, date=DAY)
    assert quotes["ts"].to_list() == [at(600)]
    clocks = recordings(lake).filter(pl.col("kind") == "clock")
    assert clocks["value"].is_nan().all()


def test_a_capture_without_a_clock_is_told_by_its_events(lake: Lake, tmp_path: Path) -> None:
    trades = trade_line(1, 1, ahead=1.2), trade_line(2, 2, ahead=1.275)
    path = write_lines(tmp_path / "capture", [*trades, quote_line(9, 3)])
    found = land_capture(lake, INSTRUMENT, path)
    assert found.rows["raw_trades"] == 2
    assert lake.read("raw_quotes", instrument=ABC, date=DAY)["ts"].to_list() == [at(4.275)]
    clocks = recordings(lake).filter(pl.col("kind") == "clock")
    assert clocks["value"].to_list() == [1.275]
    assert clocks["count"].to_list() == [2]


def test_spans_end_where_connections_were_last_heard(lake: Lake, tmp_path: Path) -> None:
    def down(seconds: float, heard: float, *, left: bool = False) -> str:
        heard_ns = BEGIN_NS + int(heard * SECOND_NS)
        return own_line(
            seconds, vostok="down", connection=1, why="dead", heard_ns=heard_ns, left=left
        )

    landed(
        lake, tmp_path, BEGUN, UP, trade_line(1, 1), down(20, 10),
        own_line(30, vostok="up", connection=2), own_line(31, vostok="up", connection=3),
        down(32, 31, left=True), quote_line(3, 33),
    )  # fmt: skip
    assert covered(lake) == [(at(0.5), at(10), "dead"), (at(30), at(33), KILLED)]


def test_a_kill_in_the_middle_of_a_line_loses_that_line_alone(lake: Lake, tmp_path: Path) -> None:
    landed(lake, tmp_path, BEGUN, UP, trade_line(1, 1), trade_line(2, 2), cut=30)
    assert lake.read("raw_trades", instrument=ABC, date=DAY)["trade_id"].to_list() == [1]
    assert recordings(lake).filter(pl.col("kind") == "unusable").is_empty()
    assert covered(lake) == [(at(0.5), at(1), KILLED)]


def test_a_segment_of_nothing_is_put_away(lake: Lake, tmp_path: Path) -> None:
    landed(lake, tmp_path, BEGUN, cut=5)
    assert segments(tmp_path) == []
    assert lake.keys("raw_trades") == []


def test_what_is_of_other_symbols_is_left_out(lake: Lake, tmp_path: Path) -> None:
    lines = [trade_line(1, 1), quote_line(3, 2, symbol="XYZUSDT"), depth_line(1, 2, 3)]
    path = write_lines(tmp_path / "capture", lines)
    found = land_capture(lake, INSTRUMENT, path)
    assert (found.lines, found.other) == (3, 1)
    assert not lake.exists("raw_quotes", instrument=ABC, date=DAY)


def test_a_file_that_is_no_capture_is_refused(lake: Lake, tmp_path: Path) -> None:
    for content in (b"", b"<html>\n<body>no</body>\n", b"1,2,3\n" * 10):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(RecorderError, match="is about ABCUSDT"):
            land_capture(lake, INSTRUMENT, tmp_path / "file")
    torn = gzip.compress(trade_line(1, 1).encode() * 1_000)[:-20]
    (tmp_path / "file").write_bytes(torn)
    with pytest.raises(RecorderError, match="can't be read"):
        land_capture(lake, INSTRUMENT, tmp_path / "file")
    with pytest.raises(RecorderError, match="can't be read"):
        land_capture(lake, INSTRUMENT, tmp_path / "nowhere")
    assert lake.keys("raw_trades") == []


def test_trades_of_the_other_kind_are_not_mixed_in(lake: Lake, tmp_path: Path) -> None:
    """Aggregate trades have ids of their own; a capture may hold both kinds."""
    path = write_lines(tmp_path / "capture", [trade_line(1, 1), quote_line(2, 2)])
    with pytest.raises(RecorderError, match="agg_trades were recorded, and a tick of"):
        land_capture(lake, replace(INSTRUMENT, tick="trade"), path)
    single = trade_line(7, 1).replace("aggTrade", "trade").replace('"a":', '"t":')
    path = write_lines(tmp_path / "both", [single, trade_line(1, 1)])
    found = land_capture(lake, INSTRUMENT, path)
    assert found.rows["raw_trades"] == 1
    segment = tmp_path / "folder" / NAME
    write_lines(segment, [BEGUN, UP, quote_line(1, 1)])
    with pytest.raises(RecorderError, match='Hint: say tick = "agg_trade"'):
        land_segments(lake, replace(INSTRUMENT, tick="trade"), segment.parent, keep=False)
    assert segment.exists()


def test_one_segment_that_can_not_land_does_not_keep_the_others_waiting(
    lake: Lake, tmp_path: Path
) -> None:
    for n in range(3):
        lines = [BEGUN, UP, trade_line(n, 1), quote_line(n, 2)]
        write_lines(tmp_path / f"20250331T23-0000000{n}{SUFFIX}", lines)
    blocked = tmp_path / f"20250331T23-00000001{SUFFIX}"
    part = lake.partition("raw_quotes", instrument=ABC, date=DAY) / f"part-{blocked.stem}.parquet"
    (part / "in the way").mkdir(parents=True)
    with pytest.raises(RecorderError, match="can't be landed"):
        land_segments(lake, INSTRUMENT, tmp_path, keep=False)
    assert segments(tmp_path) == [blocked]


@settings(max_examples=25)
@given(data=st.data())
def test_whatever_stands_in_a_segment_lands_or_counts_as_unusable(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    good = [
        BEGUN, UP, clock(0.6, 0.6), trade_line(1, 1), quote_line(3, 2), depth_line(1, 2, 3),
        snapshot(4, 2), fetched(5, 2, 3),
        own_line(6, vostok="down", connection=1, why="x", heard_ns=0, left=False),
        own_line(7, vostok="skipped", from_id=3, to_id=-1, why="old"),
        own_line(8, vostok="text", text="{"), own_line(9, vostok="ended", why="hour"),
    ]  # fmt: skip
    picked = data.draw(st.lists(st.sampled_from(good), max_size=12))
    content = bytearray("".join(f"{line}\n" for line in picked).encode())
    for _ in range(data.draw(st.integers(0, 6)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / NAME).write_bytes(bytes(content))
    lake = Lake.open(folder / "lake")
    land_segments(lake, INSTRUMENT, folder, keep=False)
    assert segments(folder) == []


@pytest.mark.shared_data
def test_the_public_captures_land_whole(lake: Lake, shared: Path) -> None:
    """41,249 and 58,325 lines of Binance, over midnight, from a machine whose clock was behind."""
    folder = shared / "book/binance_ws_hftbacktest"
    counts = [
        land_capture(lake, BTC, folder / f"spot_btcusdt_{day}.gz").rows
        for day in ("20240808", "20240809")
    ]
    assert [count["raw_trades"] for count in counts] == [9_757, 10_147]
    assert [count["raw_quotes"] for count in counts] == [28_040, 45_134]
    assert [count["raw_depth"] for count in counts] == [3_452, 3_044]
    name = str(BTC.id)
    days = [date(2024, 8, 8), date(2024, 8, 9)]
    ids: list[int] = []
    for day in days:
        ticks, quality, inputs = ticks_day(lake, BTC, day)
        lake.write("ticks", ticks, code_version="t", inputs=inputs, instrument=name, date=day)
        ids += ticks["trade_id"].to_list()
        assert quality.filter(pl.col("kind") == "gap").is_empty()
    assert ids == list(range(3735683259, 3735703163))
    made = books_of(lake, name)
    assert made["quotes"].height == 28_040 + 45_134
    assert made["depth"].height == 3_452 + 3_044
    changes = made["depth"].filter(~pl.col("snapshot"))
    assert (changes["first_id"] == changes["last_id"].shift(1) + 1)[1:].all()
    quality = made["book_quality"]
    assert quality.filter(pl.col("kind") == "sequence").is_empty()
    # One run: nothing is missing but before its beginning and after its end.
    uncovered = quality.filter(pl.col("kind") == "uncovered")
    assert [f"{ts:%d %H:%M:%S}" for ts in uncovered["end_ts"]] == ["08 23:54:15", "09 23:59:59"]
    (unsynced,) = quality.filter(pl.col("kind") == "unsynced").iter_rows(named=True)
    assert unsynced["count"] == 3
    clocks = pl.concat([lake.read("recordings", instrument=name, date=day) for day in days])
    behind = clocks.filter(pl.col("kind") == "clock")["value"].to_list()
    assert behind == [pytest.approx(1.275, abs=0.001), pytest.approx(1.2767, abs=0.001)]
    assert "1.28 s behind" in quality.filter(pl.col("kind") == "clock")["detail"][0]
    # The book that the changes tell has the best prices that were said.
    tops = made["quotes"].join(changes, left_on="update_id", right_on="last_id")
    assert tops.height > 100
