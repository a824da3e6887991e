"""DuckDB views over the lake's Parquet: `vostok.duckdb`.

The file holds views and table functions only, with comments on every view and column, and can be
deleted at any time. It lies in the lake's folder, or in its home on this machine where the lake is
in an object store. It is built beside its place and swapped in whole, and is only ever opened
read-only, so a reader never meets a writer's lock (a DuckDB writer shuts out even readers of other
processes). A view names its partitions by a pattern, so new partitions show without a new catalog;
a table's first partition, or another root, makes the catalog stale, and `query` and `connect` renew
a stale one.

A table that is partitioned and still empty is an empty view with the right types. The columns of
`features` differ by pack, so beside the view over all packs (missing columns NULL) there is one for
each pack: `features_core`, ...

Each table by day is a table function too, whose arguments are keys: `ticks(ID, DAY)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import polars as pl

from vostok_core.errors import CorruptPartition, UsageError
from vostok_core.lake.address import Place
from vostok_core.lake.atomic import replacing
from vostok_core.lake.parquet import columns_hash, read_footer
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TABLES, TIME, Table

FILE_NAME = "vostok.duckdb"
_DATABASE = "lake"
_FILES = "part-*.parquet"
_WORD = re.compile(r"\w+")
_TYPES: dict[Any, str] = {
    pl.Int8: "TINYINT",
    pl.Int64: "BIGINT",
    pl.Float64: "DOUBLE",
    pl.Boolean: "BOOLEAN",
    pl.String: "VARCHAR",
    pl.Date: "DATE",
    TIME: "TIMESTAMP WITH TIME ZONE",
    pl.List(pl.Float64): "DOUBLE[]",
}
_KEY_TYPES = {"date": "DATE", "week": "DATE"}
_OPEN_COMMENT = {
    "features": "a feature: docs/features.md says which and in what unit",
    "live_steps": "a feature: docs/features.md says which and in what unit",
    "ta_catalogue": "an indicator of the ta library, under its name there",
}
_KEY_COMMENTS = {
    "instrument": "venue.market.BASE-QUOTE",
    "date": "UTC day",
    "week": "Monday of the UTC week",
    "interval": "length of the bar",
    "pack": "feature pack",
    "strategy": "name of the strategy",
    "configuration": "hash of the strategy configuration",
    "number": "0001 for the first decision on the week's model",
}


@dataclass(frozen=True)
class _View:
    """One view: its name, the table it shows, and where its files are, if it has any."""

    name: str
    table: Table
    folder: Place
    fixed: tuple[tuple[str, str], ...]
    filled: bool

    @property
    def open_keys(self) -> tuple[str, ...]:
        """The keys that its columns tell apart."""
        return self.table.keys[len(self.fixed) :]


def refresh_catalog(lake: Lake) -> Path:
    """Write the catalog anew and swap it in; readers keep the one they have open.

    Returns:
        The file.

    Raises:
        CorruptPartition: A file of the lake doesn't read.
        UsageError: The lake is not in a folder, and was opened without a home.
    """
    path = _file(lake)
    if path is None:
        raise UsageError(
            f"{lake.root} has no folder on this machine for its catalog",
            hint="open it by its project, or ask it by `connect`, which needs none",
        )
    with replacing(path) as temporary, duckdb.connect(str(temporary)) as connection:
        _find_files(connection, lake)
        _create(connection, lake)
    return path


def query(lake: Lake, sql: str) -> pl.DataFrame:
    """The rows that one SQL query over the lake's tables gives.

    Args:
        lake: The lake; nothing in it is written, except that a stale catalog is renewed.
        sql: One statement that reads: SELECT, FROM, WITH, DESCRIBE, SUMMARIZE, SHOW, EXPLAIN.

    Returns:
        The rows; times in UTC, whole numbers wider than 64 bits as Int64 where they fit.

    Raises:
        UsageError: The statement is wrong, writes, or reads anything outside the lake.
        CorruptPartition: A file of the lake doesn't read.
    """
    with connect(lake) as connection:
        _confine(connection, lake)
        try:
            _check_reads(connection, sql)
            frame: pl.DataFrame = _readable(connection.sql(sql)).pl()
        except duckdb.Error as error:
            raise _explained(error, [view.name for view in _views(lake)]) from None
    return frame.with_columns(_narrow(column) for column in frame.iter_columns())


def connect(lake: Lake | Path | str) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection of your own with the lake's tables in it, for notebooks and scripts.

    The catalog is attached read-only as the database `lake`, which is in use; times are shown in
    UTC. The connection itself is in memory: `CREATE TEMP TABLE` and frames of yours work in it.

    Raises:
        UsageError: There is no lake.
    """
    if not isinstance(lake, Lake):
        lake = Lake.open(lake, create=False)
    connection = duckdb.connect(":memory:")
    try:
        _find_files(connection, lake)
        if not _attached(connection, lake):
            _renew(connection, lake)
        connection.execute(f"USE {_DATABASE}; SET TimeZone = 'UTC'")
    except BaseException:
        connection.close()
        raise
    return connection


def _attached(connection: duckdb.DuckDBPyConnection, lake: Lake) -> bool:
    """Attach the catalog if there is one that is of use."""
    path = _file(lake)
    if path is None or not path.exists():
        return False
    try:
        _attach(connection, path)
    except duckdb.Error:
        return False  # Not ours, or of another DuckDB: the next one takes its place.
    if _is_stale(connection, lake):
        connection.execute(f"DETACH {_DATABASE}")
        return False
    return True


def _renew(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    try:
        _attach(connection, refresh_catalog(lake))
    except (OSError, UsageError, duckdb.IOException):
        # A lake that may be read but not written still answers.
        connection.execute(f"ATTACH ':memory:' AS {_DATABASE}; USE {_DATABASE}")
        _create(connection, lake)


def _attach(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    connection.execute(f"ATTACH {_literal(str(path))} AS {_DATABASE} (READ_ONLY)")


def _file(lake: Lake) -> Path | None:
    return None if lake.home is None else lake.home / FILE_NAME


def _find_files(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    """Make a connection find the lake's files."""
    if isinstance(lake.root, Path):
        return
    from vostok_core.lake.filesystem import THREADS, LakeFiles

    connection.register_filesystem(LakeFiles(lake.objects))
    connection.execute(f"SET threads = {THREADS}")


def _views(lake: Lake) -> Iterator[_View]:
    there = set(lake.objects.below(""))
    for table in TABLES.values():
        folder = lake.objects.place(table.name)
        filled = table.name in there and _holds_files(folder, len(table.keys))
        yield _View(table.name, table, folder, (), filled)
        if table.name in there and table.open_columns and table.keys[0] == "pack":
            for entry in lake.objects.below(table.name):
                if not entry.startswith("pack="):
                    continue
                pack = unquote(entry.removeprefix("pack="))
                filled = _holds_files(folder / entry, len(table.keys) - 1)
                name = re.sub(r"\W", "_", f"{table.name}_{pack}")
                yield _View(name, table, folder / entry, (("pack", pack),), filled)


def _holds_files(folder: Place, depth: int) -> bool:
    """Whether any partition below has a file; stops at the first."""
    if not isinstance(folder, Path):
        return True  # an object store has no folder without a file below
    if not folder.is_dir():
        return False
    if depth == 0:
        return any(folder.glob(_FILES))
    return any(_holds_files(entry, depth - 1) for entry in folder.iterdir() if "=" in entry.name)


def _create(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    # In one transaction: each would otherwise be a write to disk of its own.
    connection.execute("BEGIN")
    try:
        for view in _views(lake):
            by_name = view.filled and (view.table.open_columns or _differ(lake, view.table))
            select = _select(view, by_name=by_name)
            connection.execute(f"CREATE VIEW {_name(view.name)} AS {select}")
            if len(view.open_keys) > 1 and view.open_keys[-1] in ("date", "week"):
                connection.execute(_macro(view, by_name=by_name))
            _comment(connection, view)
    except duckdb.Error as error:
        raise _explained(error, ()) from None
    connection.execute("COMMIT")


def _select(view: _View, *, by_name: bool) -> str:
    table = view.table
    if view.filled:
        file = _literal("/".join([_under(view), *["*"] * len(view.open_keys), _file_of(table)]))
        return _rows(table, file, by_name=by_name)
    return _nothing(table)


def _nothing(table: Table) -> str:
    """The query for all columns and no row."""
    keys = {key: _KEY_TYPES.get(key, "VARCHAR") for key in table.keys}
    columns = keys | {c.name: _TYPES[c.dtype] for c in table.columns}
    nulls = ", ".join(f"CAST(NULL AS {kind}) AS {_name(c)}" for c, kind in columns.items())
    return f"SELECT {nulls} WHERE false"


def _macro(view: _View, *, by_name: bool) -> str:
    """The rows under given keys, of all days, of one, or from one to another: `ticks(ID, DAY)`.

    A view's condition on keys is held against the name of every file there is; here the keys are
    the name, and DuckDB looks at nothing else.
    """
    *names, day = view.open_keys
    folder = _literal(f"{_under(view)}/")
    for key in names:
        folder += f" || '{key}=' || _{key} || '/'"

    def rows(value: str) -> str:
        files = f"{folder} || '{day}=' || {value} || '/{_file_of(view.table)}'"
        return _rows(view.table, files, by_name=by_name) if view.filled else _nothing(view.table)

    given, every = [f"_{key}" for key in names], rows("'*'")
    between = f"FROM ({every}) WHERE {_name(day)} BETWEEN _first AND _last"
    forms = [
        (given, every),
        ([*given, f"_{day}"], rows(f"_{day}")),
        ([*given, "_first", "_last"], between),
    ]
    said = ", ".join(f"({', '.join(given)}) AS TABLE ({rows})" for given, rows in forms)
    return f"CREATE MACRO {_name(view.name)} {said}"


def _under(view: _View) -> str:
    return _escape_pattern(str(view.folder))


def _file_of(table: Table) -> str:
    # A name costs DuckDB less than a pattern, which has every folder listed.
    return _FILES if table.many_parts else "part-0.parquet"


def _rows(table: Table, files: str, *, by_name: bool) -> str:
    """The query for all columns of some files, given as an expression."""
    types = ", ".join(f"{_name(key)}: {_KEY_TYPES.get(key, 'VARCHAR')}" for key in table.keys)
    union = ", union_by_name = true" if by_name else ""
    source = f"read_parquet({files}, hive_partitioning = true, hive_types = {{{types}}}{union})"
    keys_listed = ", ".join(_name(key) for key in table.keys)
    listed = ", ".join(_name(column.name) for column in table.columns)
    if not table.open_columns:
        return f"SELECT {keys_listed}, {listed} FROM {source}"  # noqa: S608 (names are declared)
    rest = f"* EXCLUDE ({keys_listed}, {listed})"
    return f"SELECT {keys_listed}, {listed}, {rest} FROM {source}"  # noqa: S608


def _differ(lake: Lake, table: Table) -> bool:
    """Whether older files of a table lack a column that was added since.

    Reading by name costs DuckDB a look at every file, so it is left to lakes that need it, until
    their older days have been made again.
    """
    if not any(column.added for column in table.columns):
        return False
    now = columns_hash(table.schema)
    for _, stat in lake.listed(table.name):
        try:
            info = read_footer(lake.objects, stat.key)
        except CorruptPartition:
            continue  # whoever reads it says so
        if info is not None and info.columns != now:
            return True
    return False


def _comment(connection: duckdb.DuckDBPyConnection, view: _View) -> None:
    table = view.table
    where = "".join(f" {key.capitalize()}: {value}." for key, value in view.fixed)
    connection.execute(
        f"COMMENT ON VIEW {_name(view.name)} IS {_literal(table.description + where)}"
    )
    comments = {key: _KEY_COMMENTS[key] for key in table.keys}
    for column in table.columns:
        unit = f" [{column.unit}]" if column.unit else ""
        comments[column.name] = column.description + unit
    if table.open_columns and view.filled:
        for (name,) in connection.execute(
            "SELECT column_name FROM duckdb_columns() WHERE table_name = ?", [view.name]
        ).fetchall():
            if name not in comments:
                comments[name] = _OPEN_COMMENT.get(table.name, "a column of the pack")
    for name, comment in comments.items():
        connection.execute(
            f"COMMENT ON COLUMN {_name(view.name)}.{_name(name)} IS {_literal(comment)}"
        )


def _is_stale(connection: duckdb.DuckDBPyConnection, lake: Lake) -> bool:
    """Whether the attached catalog lacks a view or column, shows a filled table empty, names old
    paths, or was made by an older version of this module."""
    found = dict(
        connection.execute(
            "SELECT view_name, sql FROM duckdb_views() WHERE database_name = ? AND NOT internal",
            [_DATABASE],
        ).fetchall()
    )
    root = _literal(_escape_pattern(str(lake.root)))[:-1]
    views = list(_views(lake))
    if set(found) != {view.name for view in views}:
        return True
    return any(
        (f"{root}/" in found[view.name]) != view.filled
        or (view.filled and f"/{_file_of(view.table)}'" not in found[view.name])
        or not {column.name for column in view.table.columns}
        <= set(_WORD.findall(found[view.name]))
        for view in views
    )


def _confine(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    """From here on the connection reaches nothing outside the lake, and can't undo that."""
    # DuckDB compares a pattern with the folders as text, so the escaped spelling counts too.
    folders = ", ".join(
        _literal(folder) for folder in sorted({str(lake.root), _escape_pattern(str(lake.root))})
    )
    connection.execute("SET python_enable_replacements = false")
    if lake.home is not None:
        connection.execute(f"SET temp_directory = {_literal(str(lake.home / '.duckdb'))}")
    connection.execute(f"SET allowed_directories = [{folders}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _check_reads(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse what could write: COPY reaches files wherever reading may."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise UsageError(
            f"{len(statements)} statements were given, and one is wanted",
            hint="ask one question at a time",
        )
    kind = statements[0].type
    if kind == duckdb.StatementType.EXPLAIN:
        inner = re.sub(r"^\s*EXPLAIN(\s+ANALYZE)?(\s*\([^)]*\))?", "", sql, flags=re.IGNORECASE)
        if inner == sql:
            raise UsageError("EXPLAIN must come first", hint="leave out the comment before it")
        # EXPLAIN ANALYZE runs what it explains.
        _check_reads(connection, inner)
    elif kind != duckdb.StatementType.SELECT:
        raise UsageError(
            f"{kind.name} is not a query: the lake is read, never written, by SQL",
            hint="use SELECT, FROM, WITH, DESCRIBE, SUMMARIZE, SHOW TABLES or EXPLAIN",
        )


def _explained(error: duckdb.Error, tables: Sequence[str]) -> UsageError | CorruptPartition:
    lines = [line.strip() for line in str(error).splitlines()]
    # The rest of the statement, with a caret beneath, doesn't survive being put in one paragraph.
    said = [line for line in lines if line and not line.startswith(("LINE ", "^"))]
    message = " ".join(said).rstrip("!. ")
    if isinstance(error, duckdb.PermissionException):
        return UsageError(
            message, hint="a query reads the tables of the lake and no other file or address"
        )
    if isinstance(error, duckdb.IOException) and "No files found" in message:
        return UsageError(
            "no partition has those keys",
            hint="SELECT DISTINCT of a table's keys lists what there is",
        )
    if isinstance(error, (duckdb.IOException, duckdb.InvalidInputException)) and (
        _FILES.partition("*")[0] in message and ".parquet" in message
    ):
        return CorruptPartition(
            message, hint="delete that file and materialize its partition again"
        )
    if isinstance(error, duckdb.CatalogException) and "Table with name" in message:
        return UsageError(said[0].rstrip("!. "), hint=f"the tables are {', '.join(tables)}")
    if isinstance(error, duckdb.BinderException):
        return UsageError(message, hint="DESCRIBE <table> lists the columns of one")
    return UsageError(
        message, hint="the lake speaks the SQL of DuckDB: https://duckdb.org/docs/sql"
    )


def _readable(found: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """The rows with intervals as text, such as `1 day 02:00:00`: Polars has no such type."""
    columns = list(zip(found.columns, map(str, found.types), strict=True))
    if not any("INTERVAL" in kind for _, kind in columns):
        return found
    shown = [
        f"CAST({_name(name)} AS VARCHAR) AS {_name(name)}" if "INTERVAL" in kind else _name(name)
        for name, kind in columns
    ]
    return found.project(", ".join(shown))


def _narrow(column: pl.Series) -> pl.Series:
    """Sums of whole numbers, which DuckDB widens to 128 bits, as Int64 where they fit."""
    dtype = column.dtype
    if not (isinstance(dtype, pl.Decimal) and dtype.scale == 0) and dtype != pl.Int128:
        return column
    narrow = column.cast(pl.Int64, strict=False)
    return narrow if narrow.null_count() == column.null_count() else column


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _escape_pattern(path: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", path)
