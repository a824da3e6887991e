"""The journal's file: who may write it, which files are refused, and writes that fail."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from vostok_core.trading.account import Account
from vostok_core.trading.commands import Alert
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import BarClosed
from vostok_core.trading.rules import Rules
from vostok_live.errors import JournalError
from vostok_live.feed.events import Tick
from vostok_live.journal import place
from vostok_live.journal.reader import Reader
from vostok_live.journal.rows import RunStart
from vostok_live.journal.schema import INTENT
from vostok_live.journal.writer import Journal
from vostok_live.seams import real_seams

RULES = Rules(Decimal("0.01"), Decimal("0.001"), min_notional=1)
CONFIG = EngineConfig(run="a1", horizon_us=60_000_000, take_profit=2.0, stop_loss=1.0)
START = RunStart("0.1.0", "trend", "binance.spot.BTC-USDT", "c0ffee", "b" * 64, CONFIG, RULES)
NOON = 1_772_625_600_000_000
LONG = "words " * 500


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def written(path: Path, events: int = 3) -> Path:
    """A journal in which so many events were written, closed in order."""
    with Journal.open(path, real_seams()) as journal:
        journal.begin_run(START, Engine(CONFIG, RULES, Account.opening(1)).snapshot())
        add(journal, events)
    return path


def add(journal: Journal, events: int = 1) -> None:
    for _ in range(events):
        number = journal.seq + 1
        journal.append(BarClosed(NOON + number, 1), [Alert("info", "a", LONG)], NOON)


def refused(path: Path) -> JournalError:
    """What opening says, and that the next try says it too, of a file that was left as it is."""
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(JournalError) as first:
        Journal.open(path, real_seams())
    with pytest.raises(JournalError) as second:
        Journal.open(path, real_seams())
    assert str(first.value) == str(second.value)
    assert first.value.hint
    assert (path.read_bytes() if path.exists() else None) == before
    return first.value


# Made and opened


def test_journal_is_made_for_its_owner_alone_in_a_folder_that_need_not_be_there(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state" / "with ? and %20" / "journal.sqlite"
    with Journal.open(path, real_seams()):
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "journal.sqlite", "journal.sqlite.lock",
    ]  # fmt: skip
    with Reader.open(path) as reader:
        assert reader.seq == 0


def test_journal_left_half_made_is_made_anew(path: Path) -> None:
    path.with_name("journal.sqlite.new").write_bytes(b"half of it")
    with Journal.open(path, real_seams()) as journal:
        assert journal.seq == 0
    assert not path.with_name("journal.sqlite.new").exists()


def test_one_that_writes_can_read_what_it_wrote_in_the_next_start(path: Path) -> None:
    written(path, 3)
    with Journal.open(path, real_seams()) as journal:
        assert journal.seq == 3
        journal.begin_run(START, {})
        add(journal)
        assert journal.seq == 4
        assert [each.run for each in journal.events_after(2)] == [1, 2]


def test_journal_that_was_closed_takes_nothing_more(path: Path) -> None:
    journal = Journal.open(path, real_seams())
    journal.begin_run(START, {})
    journal.close()
    with pytest.raises(JournalError, match="takes nothing more since it was closed"):
        add(journal)
    with pytest.raises(JournalError, match="it was closed"):
        journal.runs()
    journal.close()


def test_journal_in_which_nothing_was_written_down_need_not_stay(path: Path) -> None:
    Journal.open(path, real_seams()).close(keep_empty=False)
    assert [each.name for each in path.parent.iterdir()] == ["journal.sqlite.lock"]
    journal = Journal.open(path, real_seams())
    with Reader.open(path):  # whose place in the log keeps files beside it
        journal.close(keep_empty=False)
    assert [each.name for each in path.parent.iterdir()] == ["journal.sqlite.lock"]
    thrown = Journal.open(path, real_seams())
    thrown.latch("a person said so")
    thrown.close(keep_empty=False)
    with Reader.open(path) as reader:
        assert reader.latched() == "a person said so"
    with Journal.open(written(path), real_seams()) as journal:
        journal.close(keep_empty=False)
    assert path.exists()


# One writer


def test_second_writer_is_refused_until_the_first_has_closed(path: Path) -> None:
    with Journal.open(path, real_seams()):
        holder = f"is being written by process {os.getpid()} on {os.uname().nodename}"
        assert holder in refused(path).what
    Journal.open(path, real_seams()).close()


def test_holder_that_has_not_written_its_name_yet_is_another_process(path: Path) -> None:
    journal = Journal.open(path, real_seams())
    path.with_name("journal.sqlite.lock").write_text("")
    assert "written by another process" in refused(path).what
    journal.close()


# Files that are refused


def test_newer_schema_is_refused_by_writers_and_readers(path: Path) -> None:
    written(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 3")
    connection.close()
    error = refused(path)
    assert error.what == "the journal has schema 3, and this Vostok knows 2"
    assert error.hint == "run the newer Vostok that wrote it"
    with pytest.raises(JournalError, match="schema 3"):
        Reader.open(path)


def test_older_schema_is_refused_by_writers_and_readers(path: Path) -> None:
    written(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    error = refused(path)
    assert error.what == "the journal has schema 1, and this Vostok writes 2"
    assert error.hint is not None
    assert "flatten and stop with the Vostok that wrote it" in error.hint
    with pytest.raises(JournalError, match="schema 1"):
        Reader.open(path)


def _garbage(path: Path) -> None:
    path.write_bytes(b"certainly no database" * 1_000)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _other_database(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE meta (key, value)")
    connection.close()


def _truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _overwrite_root_of(path: Path, name: str) -> None:
    """Lose the head of the page at which a table begins."""
    connection = sqlite3.connect(path)
    query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
    page = connection.execute(query, (name,)).fetchone()[0]
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : (page - 1) * size + 64] = bytes(64)
    path.write_bytes(content)


def _torn(path: Path) -> None:
    _overwrite_root_of(path, "ticks")


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (_garbage, "file is not a database"),
        (_empty, "the file is empty, and a journal never is"),
        (_other_database, "not a journal of Vostok"),
        (_truncated, "malformed"),
        (_torn, "the journal is damaged"),
    ],
)
def test_file_that_cannot_be_trusted_is_refused_with_a_way_to_go_on(
    path: Path, harm: Callable[[Path], None], what: str
) -> None:
    harm(written(path, 40))
    error = refused(path)
    assert what in error.what
    assert f"mv {path} {path}.broken" in (error.hint or "")


@pytest.mark.parametrize("name", INTENT)
def test_damage_to_what_recovery_stands_on_is_found_in_a_large_file_too(
    path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "CHECKED_WHOLE", 4096)
    _overwrite_root_of(written(path), name)
    error = refused(path)
    assert "malformed" in error.what or "the journal is damaged" in error.what


def test_damage_to_the_rest_of_a_large_file_ends_the_journal_when_it_is_met(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "CHECKED_WHOLE", 4096)
    _overwrite_root_of(written(path), "alerts")
    journal = Journal.open(path, real_seams())
    journal.begin_run(START, {})
    with pytest.raises(JournalError, match="malformed") as met:
        add(journal)
    assert f"mv {path} {path}.broken" in (met.value.hint or "")
    with pytest.raises(JournalError, match="takes nothing more"):
        journal.runs()
    journal.close()


def test_journal_that_is_missing_while_its_log_lies_there_is_not_replaced_by_an_empty_one(
    path: Path,
) -> None:
    journal = Journal.open(path, real_seams())
    journal.begin_run(START, {})
    journal.abandon()
    path.rename(path.with_name("moved.sqlite"))
    assert "its newest entries lie beside it" in refused(path).what


def test_reader_makes_no_journal(path: Path) -> None:
    with pytest.raises(JournalError, match="opening the journal to read failed"):
        Reader.open(path)
    assert not path.exists()


def test_folder_that_is_a_file_is_a_journal_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(JournalError, match="opening the journal failed"):
        Journal.open(tmp_path / "state" / "journal.sqlite", real_seams())


# Writes that fail


def test_full_disk_ends_the_journal_and_says_to_make_room(path: Path) -> None:
    def small(place: Path) -> sqlite3.Connection:
        connection = real_seams().connect(place)
        if place == path:
            connection.execute("PRAGMA max_page_count = 60")
        return connection

    journal = Journal.open(path, replace(real_seams(), connect=small))
    journal.begin_run(START, {})
    with pytest.raises(JournalError, match=r"database or disk is full") as full:
        add(journal, 1_000)
    assert full.value.hint == f"make room on the disk of {path.parent}, then start the daemon again"
    reached = journal.seq
    assert reached > 3
    for use in (lambda: add(journal), journal.runs, journal.timers, lambda: journal.latch("x")):
        with pytest.raises(JournalError, match="takes nothing more"):
            use()
    with pytest.raises(JournalError, match="is being written"):
        Journal.open(path, real_seams())
    journal.close()
    with Journal.open(path, real_seams()) as again:
        assert again.seq == reached


class Failing(sqlite3.Connection):
    """A connection on which one statement fails as it does when the disk can't sync."""

    fails = ""
    after: list[str]

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if hasattr(self, "after"):
            self.after.append(sql)
        if self.fails and sql.startswith(self.fails):
            self.after = []
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *values)


@pytest.fixture
def failing(path: Path) -> tuple[Journal, Failing]:
    """A journal whose 300 events are still in its log, and the connection that can fail."""
    opened: list[Failing] = []

    def connect(place: Path) -> sqlite3.Connection:
        address = f"{place.as_uri()}?mode=rw"
        opened.append(sqlite3.connect(address, uri=True, isolation_level=None, factory=Failing))
        return opened[-1]

    journal = Journal.open(path, replace(real_seams(), connect=connect))
    journal.begin_run(START, {})
    add(journal, 300)
    return journal, opened[-1]


@pytest.mark.parametrize("statement", ["COMMIT", "PRAGMA wal_checkpoint"])
def test_sync_that_fails_is_not_tried_again_nor_is_the_log_folded(
    path: Path, statement: str, failing: tuple[Journal, Failing]
) -> None:
    journal, connection = failing
    log = path.with_name("journal.sqlite-wal")
    before, logged = path.read_bytes(), log.stat().st_size
    connection.fails = statement
    with pytest.raises(JournalError, match="disk I/O error"):
        add(journal) if statement == "COMMIT" else journal.snapshot(300, {})
    with pytest.raises(JournalError, match="takes nothing more"):
        add(journal)
    journal.close()
    assert connection.after == []
    assert path.read_bytes() == before
    assert log.stat().st_size >= logged
    with Journal.open(path, real_seams()) as again:
        assert again.seq == 300


def test_close_that_cannot_fold_the_log_says_so_and_lets_another_write(
    path: Path, failing: tuple[Journal, Failing]
) -> None:
    journal, connection = failing
    before = path.read_bytes()
    connection.fails = "PRAGMA wal_checkpoint"
    with pytest.raises(JournalError, match="folding the journal's log failed"):
        journal.close()
    assert path.read_bytes() == before
    with Journal.open(path, real_seams()) as again:
        assert again.seq == 300


def test_value_that_cannot_be_written_ends_the_journal_too(path: Path) -> None:
    """The engine has heard an event that is not on the disk: it must hear nothing more."""
    journal = Journal.open(path, real_seams())
    journal.begin_run(START, {})
    with pytest.raises(TypeError, match="not JSON serializable"):
        journal.append(BarClosed(NOON, Path()), [], NOON)  # type: ignore[arg-type]
    with pytest.raises(JournalError, match="takes nothing more since TypeError"):
        add(journal)
    journal.close()
    with Journal.open(path, real_seams()) as again:
        assert again.seq == 0


def test_log_is_folded_into_the_file_when_it_is_long_and_when_the_journal_closes(
    path: Path,
) -> None:
    journal = Journal.open(path, real_seams())
    journal.begin_run(START, {})
    small = path.stat().st_size
    add(journal, 250)
    journal.snapshot(250, {})
    assert path.stat().st_size == small
    add(journal, 50)
    journal.snapshot(300, {})
    folded = path.stat().st_size
    assert folded > small + 300 * len(LONG)
    add(journal, 10)
    journal.close()
    assert path.stat().st_size > folded
    assert not path.with_name("journal.sqlite-wal").exists()


def test_log_stays_short_where_trades_of_the_market_come_and_the_engine_hears_nothing(
    path: Path,
) -> None:
    log = path.with_name("journal.sqlite-wal")
    with Journal.open(path, real_seams()) as journal:
        journal.begin_run(START, {})
        sizes = []
        for number in range(3_000):
            at = NOON + number
            journal.record_ticks([Tick("BTCUSDT", number, at, 1.0, 1.0, False, -1, -1, -1, at)])
            if number % 50 == 0:  # a second
                journal.fold_if_long()
                sizes.append(log.stat().st_size)
        assert sizes[-1] < 2 * sizes[5], "as long as after 250 of them"
        assert journal.seq == 0


def test_lock_file_names_its_holder(path: Path) -> None:
    journal = Journal.open(path, real_seams())
    named = json.loads(path.with_name("journal.sqlite.lock").read_text())
    assert named == {"pid": os.getpid(), "host": os.uname().nodename}
    journal.close()
