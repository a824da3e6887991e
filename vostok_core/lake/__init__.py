"""The lake: Parquet partitions that are written whole or not at all, and views over them.

`declare` says what a declaration is; `tables` declares every table once, and `live_tables` those of
the daemon's journal; `schemas` turns the declarations into pandera checks; `store` opens a lake and
writes partitions, `reader` reads them, `naming` says what they are called, `parquet` is one file of
them, and `mending` says what makes one that is missing. They are `objects`: files of a folder or,
by `s3`, those of a store, as `address` says. `locks` and `turns` make writers take turns where a
write takes several steps. `catalog` keeps the DuckDB views, which `filesystem` shows objects as
files. `verify` looks for damage, and `upkeep` writes older files anew and says what takes how much
room. Nothing here knows what the numbers mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def connect(root: Path | str) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with the lake's tables in it; see `vostok_core.lake.catalog.connect`."""
    from vostok_core.lake import catalog

    return catalog.connect(root)
