"""Reading the journal's tables by the day, also from another process while the daemon writes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Self

from vostok_core.times import DAY, day_of, day_start
from vostok_live.journal.place import explained, open_to_read
from vostok_live.journal.rows import Columns
from vostok_live.journal.view import View

_HERE = "JOIN instruments i ON i.id ="
_OF_DAY = {
    "cuts": (f"cuts c {_HERE} c.instrument", "i.name = ? AND ts > ? AND ts <= ?"),
    "steps": (
        f"steps s JOIN runs USING (run) {_HERE} runs.instrument",
        "strategy = ? AND i.name = ? AND s.ts > ? AND s.ts <= ?",
    ),
    "events": ("events", "ts >= ? AND ts < ?"),
    "commands": ("events CROSS JOIN commands USING (seq)", "ts >= ? AND ts < ?"),
    "news": ("news", "available_at >= ? AND available_at < ?"),
    "alerts": ("alerts", "ts >= ? AND ts < ?"),
    "controls": ("controls", "ts >= ? AND ts < ?"),
}
"""The rows of a day of tables that only grow, and not by much: where they are, and which."""


class Reader(View):
    """A journal as it stood when the reader was opened, whatever is written meanwhile.

    Use it in a `with`, and not for long: the writer can't reuse the file's log meanwhile. Columns
    are lists by the names of `schema`. A day's rows are those of its market time; a bar that ends
    at midnight belongs to the day it closes.
    """

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the journal at `path`; in this process or another, with or without a writer.

        Raises:
            JournalError: There is none, or it is one that can't be read.
        """
        reader = cls(open_to_read(path), path)
        try:
            reader._rows("BEGIN")
            reader._rows("SELECT count(*) FROM meta")  # the transaction begins with the first read
        except BaseException:
            reader.close()
            raise
        return reader

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def created_us(self) -> int:
        """When the journal was made, by the wall: what tells it from others; microseconds."""
        return int(self._rows("SELECT value FROM meta WHERE key = 'created_us'")[0][0])

    def days(self) -> list[date]:
        """The days of market time of which there is anything but starts, in order."""
        found: set[date] = set()
        for instrument in (number for (number,) in self._rows("SELECT id FROM instruments")):
            # A bar that ends at midnight belongs to the day it closes.
            found |= self._days("ticks", "ts", 0, instrument)
            found |= self._days("cuts", "ts", 1, instrument)
            found |= self._days("fills", "ts", 0, None)
        found |= self._days("steps", "ts", 1, None)
        found |= self._days("news", "available_at", 0, None)
        for name in ("events", "alerts", "controls"):
            found |= self._days(name, "ts", 0, None)
        return sorted(found)

    def _days(self, name: str, column: str, late: int, instrument: int | None) -> set[date]:
        """The days of a table, found by its index: a question a day, however many rows it has."""
        which = "" if instrument is None else f"instrument = {instrument} AND "
        query = f"SELECT min({column}) FROM {name} WHERE {which}{column} >= ?"  # noqa: S608
        found: set[date] = set()
        since = 0
        while (ts := self._rows(query, since)[0][0]) is not None:
            found.add(day_of(ts - late))
            since = day_start(day_of(ts - late)) + DAY + late
        return found

    def counts(self, strategy: str, instrument: str, day: date) -> dict[str, int]:
        """How many rows a day has in each of the tables that only grow; trades are not counted."""
        whose = {"cuts": (instrument,), "steps": (strategy, instrument)}
        found: dict[str, int] = {}
        for name, (source, where) in _OF_DAY.items():
            query = f"SELECT count(*) FROM {source} WHERE {where}"  # noqa: S608, nobody's words
            found[name] = self._rows(query, *whose.get(name, ()), *_span(day))[0][0]
        return found

    def read_ticks(self, instrument: str, day: date) -> Columns:
        """Trades of the market as they were seen, in id order."""
        found = self._columns(
            "trade_id, t.ts, price, qty, buyer_maker, first_id, last_id, seen_us",
            "ticks t JOIN instruments i ON i.id = t.instrument",
            "i.name = ? AND t.ts >= ? AND t.ts < ? ORDER BY trade_id",
            (instrument, *_span(day)),
        )
        found["buyer_maker"] = list(map(bool, found["buyer_maker"]))
        return found

    def read_cuts(self, instrument: str, day: date) -> Columns:
        """Where the day's bars ended, in that order: the fields of `Cut`, and when it was known."""
        values = (instrument, *_span(day))
        return self._of_day("cuts", 'ts, last_id, "by", wall_us', "ts", values)

    def read_steps(self, strategy: str, instrument: str, day: date) -> Columns:
        """The day's bars, with features and decisions.

        `bar`, `sentiment` and `features` are the bytes of float64, little endian: by `BAR_FIELDS`,
        by `SENTIMENT_FIELDS`, and in the order of the bundle's manifest.
        """
        found = self._of_day(
            "steps",
            "run, s.ts, bar, first_id, last_id, bar_valid, sentiment, features, event, valid, "
            "score, probability, threshold, sigma, reference, withheld, asked_ts, s.bundle, "
            "s.wall_us",
            "s.ts, run",
            (strategy, instrument, *_span(day)),
        )
        for name in ("bar_valid", "event", "valid"):
            found[name] = list(map(bool, found[name]))
        nan = float("nan")
        for name in ("score", "probability", "threshold", "sigma", "reference"):
            found[name] = [nan if value is None else value for value in found[name]]
        return found

    def read_events(self, day: date) -> Columns:
        """What the engine heard on a day, with the bodies as JSON."""
        names = "seq, run, ts, wall_us, kind, body"
        return self._of_day("events", names, "seq", _span(day))

    def read_commands(self, day: date) -> Columns:
        """What the engine answered to the day's events, with the bodies as JSON."""
        names = "seq, position, run, ts, commands.kind, commands.body"
        return self._of_day("commands", names, "seq, position", _span(day))

    def read_orders(self, day: date) -> Columns:
        """Orders that were asked for on a day, with what the exchange last said of each."""
        return self._columns(
            "client_order_id, o.seq, position, run, ts, leg, side, o.kind, time_in_force, qty, "
            "price, exchange_order_id, status, filled, o.wall_us",
            "events e CROSS JOIN orders o ON o.seq = e.seq",
            "ts >= ? AND ts < ? ORDER BY o.seq, position, client_order_id",
            _span(day),
        )

    def read_requests(self, first_us: int, end_us: int) -> Columns:
        """Requests that were sent within [first_us, end_us) by the wall, and their answers."""
        return self._columns(
            "id, client_order_id, kind, attempt, sent_us, outcome, code, http_status, text, "
            "answered_us",
            "requests",
            "sent_us >= ? AND sent_us < ? ORDER BY id",
            (first_us, end_us),
        )

    def read_requests_about(self, day: date) -> Columns:
        """Requests about the orders that were asked for on a day, and their answers.

        Whatever the clocks say, an order keeps its day, and so does what is sent about it.
        """
        return self._columns(
            "r.id, ts, r.client_order_id, r.kind, attempt, sent_us, outcome, code, http_status, "
            "text, answered_us",
            "events e CROSS JOIN orders o ON o.seq = e.seq "
            "JOIN requests r ON r.client_order_id = o.client_order_id",
            "ts >= ? AND ts < ? ORDER BY r.id",
            _span(day),
        )

    def read_fills(self, day: date) -> Columns:
        """Trades of our own on a day."""
        return self._columns(
            "i.name AS instrument, trade_id, client_order_id, ts, price, qty, fee, liquidity, "
            "commission, commission_asset, source, wall_us, seq",
            "fills f JOIN instruments i ON i.id = f.instrument",
            "ts >= ? AND ts < ? ORDER BY ts, trade_id",
            _span(day),
        )

    def read_news(self, day: date) -> Columns:
        """Scored items that became available on a day."""
        return self._of_day(
            "news",
            "item_id, asset, source, published_at, first_seen_at, available_at, title, score, "
            "scorer, scorer_version, wall_us",
            "available_at, item_id, asset",
            _span(day),
        )

    def read_alerts(self, day: date) -> Columns:
        """What a person was told on a day."""
        names = "id, seq, ts, wall_us, level, code, message"
        return self._of_day("alerts", names, "id", _span(day))

    def read_controls(self, day: date) -> Columns:
        """What a person asked for on a day."""
        return self._of_day("controls", "id, ts, wall_us, action, asked_by", "id", _span(day))

    def _of_day(self, name: str, columns: str, order: str, values: Sequence[object]) -> Columns:
        source, where = _OF_DAY[name]
        return self._columns(columns, source, f"{where} ORDER BY {order}", values)

    def _columns(self, names: str, source: str, where: str, values: Sequence[object]) -> Columns:
        with explained(self.path, "reading the journal"):
            query = f"SELECT {names} FROM {source} WHERE {where}"  # noqa: S608, nobody's words
            cursor = self._connection.execute(query, values)
            keys = [column[0] for column in cursor.description]
            columns: tuple[list[Any], ...] = tuple([] for _ in keys)
            for row in cursor:
                for column, value in zip(columns, row, strict=True):
                    column.append(value)
        return dict(zip(keys, columns, strict=True))


def _span(day: date) -> tuple[int, int]:
    start = day_start(day)
    return start, start + DAY
