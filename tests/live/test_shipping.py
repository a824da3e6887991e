"""The journal arrives in the lake whole, once, and as it was written."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from shutil import copyfile, rmtree
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.live.parity_world import BEGIN, HOUR, NAME, NEXT, Seen, Traded, see_to_exits
from vostok_core.errors import BundleError
from vostok_core.lake.catalog import query
from vostok_core.lake.live_tables import LIVE_TABLES
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME
from vostok_core.market.bars import BAR_FIELDS
from vostok_core.models.bundle_folder import read_manifest
from vostok_core.models.manifest import MANIFEST, SEAL, manifest_bytes, sha256_of
from vostok_core.times import DAY, day_start
from vostok_core.trading.engine import Engine
from vostok_live.errors import JournalError
from vostok_live.journal.reader import Reader
from vostok_live.journal.writer import Journal
from vostok_live.seams import real_seams
from vostok_live.shipping import CODE_VERSION, ship, ship_changed

PLACE = {"strategy": "tiny", "instrument": NAME}
SHIPPED = [t.name for t in LIVE_TABLES if t.name.startswith("live_")]
DAILY = [name for name in SHIPPED if name != "live_runs"]


@pytest.fixture
def journal(traded: Traded, tmp_path: Path) -> Path:
    """A journal that may be written on."""
    path = tmp_path / "state" / "journal.sqlite"
    path.parent.mkdir()
    copyfile(traded.journal, path)
    return path


@pytest.fixture
def lake(traded: Traded, tmp_path: Path) -> Lake:
    """A lake that may be written to, to which the journal has been shipped."""
    return traded.world.copy(tmp_path / "lake").lake


def hashes(lake: Lake) -> dict[tuple[str, date], str]:
    return {
        (name, day): lake.info(name, **PLACE, date=day).content_hash
        for name in SHIPPED
        for day in lake.days(name, **PLACE)
    }


def test_every_day_of_which_there_is_anything_is_shipped_whole(traded: Traded) -> None:
    for name in DAILY:
        assert traded.lake.days(name, **PLACE) == [BEGIN, NEXT], name
    assert traded.lake.days("live_runs", **PLACE) == [BEGIN]
    filled = {name for name in SHIPPED if traded.lake.read(name, **PLACE, date=BEGIN).height}
    assert filled == set(SHIPPED) - {"live_alerts"}


def test_rows_are_those_of_the_journal(traded: Traded) -> None:
    with Reader.open(traded.journal) as reader:
        seq, created = reader.seq, reader.created_us()
        for day in (BEGIN, NEXT):
            ticks = reader.read_ticks(NAME, day)
            shipped = traded.lake.read("live_ticks", **PLACE, date=day)
            assert shipped["trade_id"].to_list() == ticks["trade_id"]
            assert shipped["price"].to_list() == ticks["price"]
            assert shipped["ts"].to_physical().to_list() == ticks["ts"]
            assert shipped["seen_ts"].to_physical().to_list() == ticks["seen_us"]
            for name in ("events", "commands"):
                shipped = traded.lake.read(f"live_{name}", **PLACE, date=day)
                rows = getattr(reader, f"read_{name}")(day)
                assert shipped["body"].to_list() == rows["body"]
                assert shipped["seq"].to_list() == rows["seq"]
    info = traded.lake.info("live_ticks", **PLACE, date=BEGIN)
    assert info.inputs == {"journal": str(created), "seq": str(seq)}


def test_steps_have_the_bits_of_the_journal_in_columns_by_their_names(traded: Traded) -> None:
    with Reader.open(traded.journal) as reader:
        rows = reader.read_steps("tiny", NAME, BEGIN)
    steps = traded.lake.read("live_steps", **PLACE, date=BEGIN)
    bars = steps.select(f"bar_{name}" for name in BAR_FIELDS[1:]).to_numpy()
    features = steps.select(traded.world.models[0].manifest.features).to_numpy()
    for n in (0, 700, 1439):
        assert np.frombuffer(rows["bar"][n])[1:].tobytes() == bars[n].tobytes()
        assert rows["features"][n] == features[n].tobytes()
    assert steps["withheld"].to_list() == rows["withheld"]
    assert steps["event"].to_list() == rows["event"]


def test_bars_that_end_at_midnight_belong_to_the_day_they_close(traded: Traded) -> None:
    for name in ("live_cuts", "live_steps"):
        ts = traded.lake.read(name, **PLACE, date=BEGIN)["ts"].to_physical()
        assert ts[-1] == day_start(NEXT)
        assert ts.len() == 1440


def test_a_start_says_what_the_engine_knew_and_what_it_was_told(traded: Traded) -> None:
    runs = traded.lake.read("live_runs", **PLACE, date=BEGIN)
    assert runs["run"].to_list() == [1, 2]
    assert runs["seq"][0] == 0 < runs["seq"][1]
    assert json.loads(runs["engine"][0])["account"]["cash"] == 10_000 * 100_000
    assert json.loads(runs["engine"][1])["ts"] > day_start(BEGIN) + 4 * HOUR
    assert json.loads(runs["previous"][0])["trade_id"] == runs["next_id"][0] - 1
    assert runs["ts"].to_physical().to_list() == [day_start(BEGIN)] * 2


def test_requests_stand_beside_the_orders_that_they_are_about(traded: Traded) -> None:
    orders, requests = (
        pl.concat([traded.lake.read(f"live_{name}", **PLACE, date=day) for day in (BEGIN, NEXT)])
        for name in ("orders", "requests")
    )
    both = requests.join(orders, on="client_order_id", how="left")
    assert both["ts"].to_list() == both["ts_right"].to_list()
    assert set(requests["kind"]) >= {"place_list", "replace"}
    assert requests["outcome"].unique().to_list() == ["accepted"]


def test_shipping_again_writes_nothing(traded: Traded, lake: Lake) -> None:
    before = {path: path.stat() for path in lake.root.rglob("live_*/**/*.parquet")}
    assert len(before) > 20
    assert ship(traded.journal, lake, "tiny", NAME) == []
    after = {path: path.stat() for path in lake.root.rglob("live_*/**/*.parquet")}
    assert {p: (s.st_ino, s.st_mtime_ns) for p, s in after.items()} == {
        p: (s.st_ino, s.st_mtime_ns) for p, s in before.items()
    }


def test_the_same_journal_makes_the_same_content_in_another_lake(
    traded: Traded, lake: Lake
) -> None:
    for name in SHIPPED:
        rmtree(lake.root / name)
    infos = ship(traded.journal, lake, "tiny", NAME)
    assert len(infos) == len(hashes(lake)) == 2 * len(DAILY) + 1
    assert hashes(lake) == hashes(traded.lake)


def test_only_the_days_that_are_asked_for_are_shipped_and_always_the_starts(
    traded: Traded, lake: Lake
) -> None:
    for name in SHIPPED:
        rmtree(lake.root / name)
    ship(traded.journal, lake, "tiny", NAME, [NEXT])
    assert {day for name, day in hashes(lake) if name != "live_runs"} == {NEXT}
    assert lake.days("live_runs", **PLACE) == [BEGIN]
    quiet = NEXT + timedelta(days=3)
    ship(traded.journal, lake, "tiny", NAME, [quiet])
    assert {lake.read(name, **PLACE, date=quiet).height for name in DAILY} == {0}


def test_a_day_is_shipped_with_what_has_come_of_the_next(traded: Traded, lake: Lake) -> None:
    """The engine hears of a day's last bar after midnight."""
    for name in SHIPPED:
        rmtree(lake.root / name)
    ship(traded.journal, lake, "tiny", NAME, [BEGIN])
    assert hashes(lake) == hashes(traded.lake)


def test_what_a_daemon_writes_meanwhile_is_shipped_the_next_time(
    traded: Traded, lake: Lake, journal: Path
) -> None:
    """A trade stamped yesterday is yesterday's; nothing else of that day is written again."""
    ts = day_start(NEXT) - 1
    with Journal.open(journal, real_seams()) as writer:
        assert writer.last_run() is not None
        run = writer.last_run()
        writer.begin_run(
            run.start,
            Engine.restore(
                run.start.config, run.start.rules, writer.snapshot_at(run.seq)
            ).snapshot(),
        )
        with Reader.open(journal) as reader:
            newest = reader.newest_trade_id(NAME)
        writer.record_ticks([Seen(newest + 5, ts, 100.0, 1.0, True, -1, -1, ts)])
        written = ship(journal, lake, "tiny", NAME)
        places = {info.path.relative_to(lake.root).as_posix().split("/")[0] for info in written}
        assert places == {"live_ticks", "live_runs"}
        assert {info.path.parent.name for info in written} == {f"date={BEGIN}"}
        assert ship(journal, lake, "tiny", NAME) == []
    ticks = lake.read("live_ticks", **PLACE, date=BEGIN)
    assert ticks["trade_id"][-1] == newest + 5
    assert ticks["first_id"][-1] is None


# What has come since


def quiet_days(journal: Path) -> list[date]:
    """Three days long after, on which something is written down that is about none before."""
    days = [NEXT + timedelta(days=n) for n in (5, 6, 7)]
    see_to_exits(journal, days)
    return days


def ship_without(journal: Path, lake: Lake, *deletions: str) -> None:
    """Ship a journal as it was before some of it was written."""
    earlier = journal.parent / "earlier.sqlite"
    copyfile(journal, earlier)
    for deletion in deletions:
        _sql(earlier, deletion, many=True)
    for name in SHIPPED:
        rmtree(lake.root / name)
    ship(earlier, lake, "tiny", NAME)


def test_days_that_a_daemon_made_up_for_after_a_long_outage_are_shipped_with_the_newest(
    traded: Traded, lake: Lake, journal: Path
) -> None:
    """It died on the first day; what it wrote of that one later is shipped days later."""
    died = day_start(BEGIN) + 5 * HOUR
    ship_without(
        journal, lake,
        f"DELETE FROM ticks WHERE ts > {died}",
        f"DELETE FROM cuts WHERE ts > {died}",
        f"DELETE FROM steps WHERE ts > {died}",
        f"DELETE FROM commands WHERE seq IN (SELECT seq FROM events WHERE ts > {died})",
        f"DELETE FROM events WHERE ts > {died}",
        f"DELETE FROM news WHERE available_at > {died}",
        f"DELETE FROM fills WHERE ts > {died}",
        "DELETE FROM runs WHERE run > 1",
    )  # fmt: skip
    assert lake.read("live_steps", **PLACE, date=BEGIN).height == 300
    later = quiet_days(journal)
    ship_changed(journal, lake, "tiny", NAME)
    assert lake.days("live_events", **PLACE) == [BEGIN, NEXT, *later]
    before = hashes(lake)
    assert ship(journal, lake, "tiny", NAME) == []
    assert hashes(lake) == before
    assert ship_changed(journal, lake, "tiny", NAME) == []


def test_a_trade_stamped_before_midnight_is_shipped_with_the_bars_of_the_day_after(
    traded: Traded, lake: Lake, journal: Path
) -> None:
    midnight = day_start(NEXT)
    ship_without(
        journal, lake,
        "DELETE FROM ticks WHERE trade_id = "
        f"(SELECT max(trade_id) FROM ticks WHERE ts < {midnight})",
        f"DELETE FROM cuts WHERE ts > {midnight + HOUR}",
    )  # fmt: skip
    quiet_days(journal)
    ship_changed(journal, lake, "tiny", NAME)
    ticks = lake.read("live_ticks", **PLACE, date=BEGIN)
    assert ticks.equals(traded.lake.read("live_ticks", **PLACE, date=BEGIN))
    assert lake.read("live_cuts", **PLACE, date=NEXT).height == 119


def test_what_the_exchange_says_later_of_an_order_is_shipped_whenever_that_is(
    lake: Lake, journal: Path
) -> None:
    quiet_days(journal)
    ship_changed(journal, lake, "tiny", NAME)
    order = lake.read("live_orders", **PLACE, date=BEGIN)["client_order_id"][0]
    _sql(journal, "UPDATE orders SET status = 'EXPIRED' WHERE client_order_id = ?", order)
    (info,) = ship_changed(journal, lake, "tiny", NAME)
    assert info.path == lake.info("live_orders", **PLACE, date=BEGIN).path
    orders = lake.read("live_orders", **PLACE, date=BEGIN)
    assert orders.filter(client_order_id=order)["status"].item() == "EXPIRED"


def test_days_of_which_the_lake_has_as_much_are_not_read_again(lake: Lake, journal: Path) -> None:
    quiet_days(journal)
    ship_changed(journal, lake, "tiny", NAME)
    ticks, info = (of("live_ticks", **PLACE, date=BEGIN) for of in (lake.read, lake.info))
    other = ticks.with_columns(price=pl.col("price") + 1)
    lake.write(
        "live_ticks", other, code_version=CODE_VERSION, inputs=info.inputs, **PLACE, date=BEGIN
    )
    assert ship_changed(journal, lake, "tiny", NAME) == []
    assert len(ship(journal, lake, "tiny", NAME)) == 1


def test_another_journal_is_shipped_over_the_one_before(lake: Lake, journal: Path) -> None:
    quiet_days(journal)
    ship_changed(journal, lake, "tiny", NAME)
    _sql(journal, "UPDATE meta SET value = value + 1 WHERE key = 'created_us'")
    _sql(journal, "UPDATE ticks SET price = price + 1 WHERE trade_id % 2", many=True)
    written = {info.path for info in ship_changed(journal, lake, "tiny", NAME)}
    assert lake.info("live_ticks", **PLACE, date=BEGIN).path in written


def test_views_show_steps_with_the_features_beside_them(traded: Traded) -> None:
    found = query(
        traded.lake,
        "SELECT date, count(*) AS bars, count(DISTINCT bundle) AS models, max(macd_signal) AS m "
        "FROM live_steps WHERE strategy = 'tiny' GROUP BY date ORDER BY date",
    )
    assert found["bars"].to_list() == [1440, 119]
    assert found["models"].to_list() == [2, 1]
    shown = query(traded.lake, "SELECT kind, wall_ts FROM live_events LIMIT 1")
    assert shown.schema["wall_ts"] == TIME
    comments = query(
        traded.lake,
        "SELECT comment FROM duckdb_columns() WHERE table_name = 'live_steps' "
        "AND column_name = 'macd_signal'",
    )
    assert comments.item() == "a feature: docs/features.md says which and in what unit"


def test_a_bundle_with_fewer_features_leaves_the_others_nan(
    traded: Traded, lake: Lake, journal: Path
) -> None:
    """Bundles of two configurations in one day: the columns are those of either."""
    old = traded.world.models[0]
    manifest, _ = read_manifest(lake.root / "models" / "bundles" / old.sha256)
    fewer = manifest.model_copy(update={"features": manifest.features[:3]})
    content = manifest_bytes(fewer)
    name = sha256_of(content)
    folder = lake.root / "models" / "bundles" / name
    folder.mkdir()
    (folder / MANIFEST).write_bytes(content)
    (folder / SEAL).write_text(f"{name}\n")
    _sql(
        journal,
        "UPDATE steps SET bundle = ?, features = substr(features, 1, 24) WHERE ts = ?",
        name,
        day_start(BEGIN) + HOUR,
    )
    ship(journal, lake, "tiny", NAME, [BEGIN])
    row = lake.read("live_steps", **PLACE, date=BEGIN).filter(bundle=name)
    before = traded.lake.read("live_steps", **PLACE, date=BEGIN).filter(
        pl.col("ts") == pl.lit(day_start(BEGIN) + HOUR).cast(TIME)
    )
    names = list(manifest.features)
    assert row.select(names[:3]).equals(before.select(names[:3]))
    assert row.select(names[3:]).to_numpy().size == 62
    assert np.isnan(row.select(names[3:]).to_numpy()).all()


# What is refused


def test_a_journal_of_something_else_is_refused(traded: Traded, lake: Lake) -> None:
    with pytest.raises(JournalError, match=f"is of tiny on {NAME}, not of other on {NAME}"):
        ship(traded.journal, lake, "other", NAME)


def test_a_journal_that_is_not_there_is_refused(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(JournalError):
        ship(tmp_path / "nothing.sqlite", lake, "tiny", NAME)


def test_a_lake_without_the_bundle_is_refused_and_days_before_it_are_there(
    traded: Traded, lake: Lake
) -> None:
    rmtree(lake.root / "models" / "bundles" / traded.world.models[1].sha256)
    with pytest.raises(BundleError, match="which isn't there") as caught:
        ship(traded.journal, lake, "tiny", NAME)
    assert "lake that its daemon trades from" in str(caught.value)


def test_rows_of_another_width_are_refused(lake: Lake, journal: Path) -> None:
    _sql(
        journal,
        "UPDATE steps SET features = substr(features, 1, 8) WHERE ts = ?",
        day_start(BEGIN) + HOUR,
    )
    with pytest.raises(JournalError, match="a row of 8 bytes stands where 65 doubles belong"):
        ship(journal, lake, "tiny", NAME)


def _sql(journal: Path, query: str, *values: Any, many: bool = False) -> None:
    import sqlite3

    with sqlite3.connect(journal) as connection:
        changed = connection.execute(query, values).rowcount
        assert changed >= 1 if many else changed == 1
    connection.close()


def test_days_are_those_of_any_table(journal: Path) -> None:
    with Reader.open(journal) as reader:
        assert reader.days() == [BEGIN, NEXT]
    later = day_start(NEXT) + 5 * DAY
    for change, day in (
        ("UPDATE controls SET ts = ? WHERE id = 1", 5),
        ("UPDATE news SET available_at = ? WHERE item_id = 'live 3'", 7),
    ):
        _sql(journal, change, later + (day - 5) * DAY)
    with Reader.open(journal) as reader:
        assert reader.days() == [BEGIN, NEXT, *(NEXT + timedelta(days=n) for n in (5, 7))]


def test_a_bar_that_ends_at_midnight_is_no_reason_to_ship_the_next_day(journal: Path) -> None:
    import sqlite3

    midnight = day_start(NEXT)
    with sqlite3.connect(journal) as connection:
        for name, column in (
            ("ticks", "ts"), ("events", "ts"), ("fills", "ts"), ("news", "available_at"),
        ):  # fmt: skip
            connection.execute(f"DELETE FROM {name} WHERE {column} >= ?", (midnight,))
        for name in ("steps", "cuts"):
            connection.execute(f"DELETE FROM {name} WHERE ts > ?", (midnight,))
    connection.close()
    with Reader.open(journal) as reader:
        assert reader.days() == [BEGIN]
        assert reader.read_steps("tiny", NAME, BEGIN)["ts"][-1] == midnight
