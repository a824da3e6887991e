"""Daily trade files in the layout of Binance's public archive (binance/binance-public-data).

`data/spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2025-01-06.zip` holds one CSV without header:
id, price, quantity, first id, last id, time (microseconds since 2025), buyer is maker, best match;
`data/spot/daily/trades/…` holds id, price, quantity, worth in quote, time, buyer is maker, best
match. Beside each stands a `.CHECKSUM` with its SHA-256.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from datetime import date
from pathlib import Path
from typing import Literal

import polars as pl

from vostok_core.errors import SourceFormatError
from vostok_core.lake.atomic import replacing

Kind = Literal["aggTrades", "trades"]

_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
_COLUMNS = {
    "aggTrades": ("trade_id", "price", "qty", "first_id", "last_id", "ts", "buyer_maker", "best"),
    "trades": ("trade_id", "price", "qty", "worth", "ts", "buyer_maker", "best"),
}


def archive_path(root: Path, symbol: str, day: date, kind: Kind = "aggTrades") -> Path:
    """Where the archive keeps a day of trades."""
    name = f"{symbol}-{kind}-{day}"
    return root / "data" / "spot" / "daily" / kind / symbol / f"{name}.zip"


def archived_days(root: Path, symbol: str, kind: Kind = "aggTrades") -> list[date]:
    """The days of a symbol that the archive has, in order."""
    folder = archive_path(root, symbol, date.min, kind).parent
    files = folder.glob(f"{symbol}-{kind}-[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].zip")
    return sorted(date.fromisoformat(file.stem[-10:]) for file in files)


def write_day(root: Path, symbol: str, day: date, ticks: pl.DataFrame) -> Path:
    """Write one day of ticks (rows of the table `ticks`); the same ticks give the same bytes."""
    return _write(archive_path(root, symbol, day), "aggTrades", ticks)


def write_single_trades(root: Path, symbol: str, day: date, trades: pl.DataFrame) -> Path:
    """Write one day of single trades: `trade_id`, `ts`, `price`, `qty`, `buyer_maker`, `worth`.

    `worth` is price times quantity, a text as the exchange prints it.
    """
    return _write(archive_path(root, symbol, day, "trades"), "trades", trades)


def read_day(root: Path, symbol: str, day: date, kind: Kind = "aggTrades") -> pl.DataFrame:
    """The rows of one daily file, with the columns that the writers take and `ts` as an int64.

    Raises:
        SourceFormatError: The file doesn't read.
    """
    path = archive_path(root, symbol, day, kind)
    try:
        with zipfile.ZipFile(path) as packed:
            text = packed.read(f"{path.stem}.csv")
        if not text:
            return pl.DataFrame(schema=dict.fromkeys(_COLUMNS[kind], pl.Int64))
        return pl.read_csv(text, has_header=False, new_columns=list(_COLUMNS[kind])).with_columns(
            # Real files write True, polars reads only true as a Boolean.
            pl.col("buyer_maker").cast(pl.String).str.to_lowercase() == "true"
        )
    except (OSError, KeyError, zipfile.BadZipFile, pl.exceptions.PolarsError) as error:
        raise SourceFormatError(
            f"not a daily file of {kind} ({error})",
            where=path,
            hint="delete it; the exchange writes the days of its own markets anew",
        ) from None


def _write(path: Path, kind: Kind, rows: pl.DataFrame) -> Path:
    maker = pl.when("buyer_maker").then(pl.lit("True")).otherwise(pl.lit("False"))
    rows = rows.with_columns(pl.col("ts").to_physical(), buyer_maker=maker, best=pl.lit("True"))
    text = rows.select(_COLUMNS[kind]).write_csv(include_header=False, float_precision=8)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(
            zipfile.ZipInfo(f"{path.stem}.csv", _FIXED_TIME),
            text,
            zipfile.ZIP_DEFLATED,
            compresslevel=1,
        )
    with replacing(path) as temporary:
        temporary.write_bytes(packed.getvalue())
    with replacing(path.with_name(f"{path.name}.CHECKSUM")) as temporary:
        temporary.write_text(f"{hashlib.sha256(packed.getvalue()).hexdigest()}  {path.name}\n")
    return path
