"""Bringing files into the lake, and asking it questions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from vostok.cli.command import command
from vostok.cli.making import compare_landed, materialize_landed, spoken_days
from vostok.cli.output import Format, print_frame, warn_of_unusable
from vostok.context import Context
from vostok_core.errors import SourceFormatError, UsageError
from vostok_core.times import days, parse_day

if TYPE_CHECKING:
    from vostok_core.market.instrument import Instrument
    from vostok_core.project import Project
    from vostok_pipelines.sources.common import Notation

Source = Literal[
    "binance-aggtrades",
    "binance-trades",
    "binance-klines",
    "binance-funding",
    "kraken-trades",
    "kraken-bulk",
    "kraken-ohlcvt",
    "bybit-trades",
    "okx-trades",
    "tardis-trades",
    "bitcoincharts",
    "csv",
    "parquet",
    "feather",
]
Kind = Literal["trades", "klines"]

_SUFFIXES = (
    *(".csv", ".tsv", ".txt", ".zip", ".gz", ".zst", ".bz2", ".xz"),
    *(".parquet", ".feather", ".arrow"),
)
_MAPPED = ("csv", "parquet", "feather")


def register(app: typer.Typer) -> None:
    """Add `ingest` and `sql`."""
    command(app, "ingest")(ingest)
    command(app, "sql")(sql)


def ingest(
    context: Context,
    instrument: Annotated[
        str,
        typer.Option(metavar="ID", help="Instrument of vostok.toml, e.g. binance.spot.BTC-USDT."),
    ],
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH", help="Files, or folders of them.")
    ] = None,
    source: Annotated[
        Source | None,
        typer.Option("--format", help="Layout of the files, packed or not."),
    ] = None,
    kind: Annotated[
        Kind | None,
        typer.Option(help="What csv, parquet or feather files hold; else the instrument says."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="OURS=THEIRS,...",
            help="Columns of such files, e.g. ts=time,price=px,qty=size,side=type.",
        ),
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option(metavar="CHAR", help="What separates the fields of csv files: ; | tab …"),
    ] = None,
    decimal: Annotated[
        str | None, typer.Option(metavar="MARK", help="Their decimal mark, a point or a comma.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Their encoding, such as gbk; else UTF-8.")
    ] = None,
    skip_lines: Annotated[
        int, typer.Option(metavar="N", help="Lines of theirs before the header or first row.")
    ] = 0,
    sides: Annotated[
        str | None,
        typer.Option(
            metavar="BUY/SELL",
            help="What their takers' sides are called, e.g. bid/ask, 1/-1.",
        ),
    ] = None,
    absent: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DAY[..DAY]",
            help="A day, or a range, of which the exchange has no file; can be repeated.",
        ),
    ] = None,
    *,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="What has landed of their days before is out of use."),
    ] = False,
    land_only: Annotated[
        bool, typer.Option("--land-only", help="Land the rows; materialize nothing yet.")
    ] = False,
) -> None:
    """Read trade or kline files into the lake.

    Rows are landed as they are, one part for each file and day, so that ingesting a file again
    changes nothing, and another file of a day adds to it. Where files contradict one another, bars
    are marked invalid: with --replace the named files, or --absent, take the place of all that has
    landed of their days before. That stays in the lake, out of use.

    Then the landed days go through Dagster: ticks (or klines), quality, bars and features, each a
    whole partition or none. What is odd about a day (gaps, duplicates, disorder) is in the table
    `quality`, and bars that it touches are marked invalid.

    Klines of an instrument that has ticks (--kind klines) are only held against its bars, minute by
    minute, whenever the bars of a day are built.

    A day without a file is a hole, since the file may only be late: history ends before it and
    begins anew after it. Where the exchange has none, say so with --absent: the day is then an
    outage, and history goes on. A file that comes after all takes the place of that word.

    \b
    Examples:
      vostok ingest ~/archive --instrument binance.spot.BTC-USDT --format binance-aggtrades
      vostok ingest EOSUSD.csv --instrument kraken.spot.EOS-USD --format kraken-trades
      vostok ingest 2017.parquet 2018.parquet --instrument bitfinex.spot.BTC-USD \\
        --format parquet --columns ts=ts_ms
      vostok ingest BTCUSDT-aggTrades-2025-01.zip --instrument binance.spot.BTC-USDT \\
        --format binance-aggtrades
      vostok ingest export.csv --instrument kraken.spot.EOS-USD --format csv \\
        --separator ";" --decimal , --columns ts=date,qty=amount,side=type --sides bid/ask
      vostok ingest BTCUSDT-1m-2025-01-06.zip --instrument binance.spot.BTC-USDT \\
        --format binance-klines
      vostok ingest mended.csv --instrument kraken.spot.EOS-USD --format kraken-trades --replace
      vostok ingest --instrument binance.spot.BTC-USDT --absent 2025-01-07 \\
        --absent 2025-02-01..2025-02-03

    Results go to the lake: `vostok sql "SELECT * FROM quality"`.
    """
    project = context.project
    chosen = project.settings.instrument(instrument)
    if not paths and not absent:
        raise UsageError("there is nothing to ingest", hint="name files, or days with --absent")
    if paths and source is None:
        raise UsageError(
            "the layout of the files is not named",
            hint=f"add --format: {', '.join(get_args(Source))}",
        )
    written = (separator, decimal, encoding, skip_lines or None, sides)
    if not paths and (source or kind or columns or any(each is not None for each in written)):
        raise UsageError(
            "--format, --kind, --columns and how files are written are of files, and none is named",
            hint="name the files, or leave these out",
        )
    if source == "binance-funding" and (
        kind or columns or absent or replace or any(each is not None for each in written)
    ):
        raise UsageError(
            "files of funding rates are known, and take the place of what there was of their days",
            hint="leave --kind, --columns, how files are written, --absent and --replace out",
        )
    without_file = days_of(absent or [])
    files = [file for path in paths or [] for file in source_files(path)]
    if source == "binance-funding":
        for file in files:
            look(file, source, None)
        _ingest_funding(project, chosen, files, land_only=land_only)
        return
    from vostok_pipelines.landing import check_request, land, land_absent
    from vostok_pipelines.launch import Launcher
    from vostok_pipelines.sources.generic import parse_columns

    launcher = Launcher(project)
    for day in without_file:
        if not launcher.has_day(day):
            raise UsageError(f"{day} is not a day of the calendar", hint=launcher.calendar)
    mapping = None if columns is None else parse_columns(columns)
    notation = notation_of(separator, decimal, encoding, skip_lines, sides)
    if kind is None and source in _MAPPED:
        kind = "klines" if chosen.tick == "none" else "trades"
    holds = None
    if source is not None:
        holds = check_request(chosen, source, kind, mapping, notation)
    second_view = holds == "klines" and chosen.tick != "none"
    for file in files:
        look(file, source, encoding)
    if not land_only:
        launcher.check()
        warn_of_unusable(project)
    lake = project.open_lake()
    landed: set[date] = set()
    for file in files:
        assert source is not None
        landing = land(
            lake,
            file,
            chosen,
            source,
            kind=kind,
            columns=mapping,
            notation=notation,
            since=project.settings.calendar.start,
            replace=replace,
            beside=landed,
        )
        landed.update(landing.days)
        typer.echo(f"landed {file}: {landing.rows} {landing.kind}, {spoken_days(landing.days)}")
        for warning in landing.warnings:
            typer.echo(f"Warning: {file}: {warning}", err=True)
    for day in without_file:
        land_absent(lake, chosen, day, replace=replace)
    if without_file:
        typer.echo(f"noted as absent: {spoken_days(without_file)}")
    if land_only:
        return
    if second_view:
        compare_landed(launcher, chosen, sorted(landed))
        landed.clear()
    landed.update(without_file)
    if landed:
        materialize_landed(launcher, chosen, sorted(landed))


def _ingest_funding(
    project: Project, instrument: Instrument, files: list[Path], *, land_only: bool
) -> None:
    from vostok_core.times import spans
    from vostok_pipelines.funding import land_funding, require_funding
    from vostok_pipelines.launch import Launcher

    require_funding(instrument)
    launcher = Launcher(project)
    lake, landed = project.open_lake(), set[date]()
    for file in files:
        rates, days = land_funding(lake, file, instrument, project.settings.calendar.start)
        typer.echo(f"landed {file}: {rates.rows} funding rates, {spoken_days(days)}")
        landed.update(days)
    if land_only:
        return
    for first, last in spans(day for day in landed if launcher.has_day(day)):
        run = launcher.materialize_days(["funding"], str(instrument.id), first, last).run_id
        typer.echo(f"materialized {first} to {last}: run {run}")


def sql(
    context: Context,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One statement of DuckDB's SQL.")],
    style: Annotated[
        Format, typer.Option("--format", help="table for people, csv or json for programs")
    ] = "table",
) -> None:
    """Ask the lake a question in SQL.

    Every table of the lake is a view over its Parquet files (docs/lake.md lists them); the files
    themselves are never written. SHOW TABLES lists the views, DESCRIBE bars the columns of one.

    \b
    Examples:
      vostok sql "SELECT instrument, count(*) AS bars, min(ts), max(ts) FROM bars GROUP BY ALL"
      vostok sql "SELECT rule, value, bound, verdict FROM promotions" --format json
      vostok sql "SELECT * FROM backtest_trades" --format csv > trades.csv

    The rows go to standard output. A table is fitted into the terminal's width, and "…" stands for
    what does not fit; csv and json are whole.
    """
    lake = context.project.open_lake(create=False)
    from vostok_core.lake.catalog import query as run_query

    print_frame(run_query(lake, query), style)


def source_files(path: Path) -> list[Path]:
    """The file, or the data files below a folder, in the order of their paths.

    Raises:
        UsageError: It doesn't exist, or the folder has none.
    """
    if not path.exists():
        raise UsageError(f"{path} doesn't exist", hint="check the path")
    if not path.is_dir():
        return [path]
    files = [
        file
        for file in sorted(path.rglob("*"))
        if file.suffix.lower() in _SUFFIXES and file.is_file() and file.name[0] != "."
    ]
    if not files:
        raise UsageError(
            f"{path} holds no data file",
            hint=f"files of a folder are found by their names: {', '.join(_SUFFIXES)}",
        )
    return files


def notation_of(
    separator: str | None,
    decimal: str | None,
    encoding: str | None,
    skip_lines: int,
    sides: str | None,
) -> Notation:
    """How files are written, by what was said of it.

    Raises:
        UsageError: That can't be meant.
    """
    from vostok_pipelines.sources.common import PLAIN, Notation

    pair = None
    if sides is not None:
        bought, slash, sold = sides.partition("/")
        if not slash:
            raise UsageError(
                f"{sides!r} names one side", hint="write those of a buyer and a seller: bid/ask"
            )
        pair = (bought.strip(), sold.strip())
    return Notation(
        separator="\t" if separator in ("tab", "\\t") else separator or PLAIN.separator,
        decimal=decimal or PLAIN.decimal,
        encoding=encoding,
        skip_lines=skip_lines,
        sides=pair,
    )


def look(path: Path, source: Source | None, encoding: str | None) -> None:
    """Refuse a file that can be seen at once to be no data file, before anything is written.

    Args:
        path: The file.
        source: The format that it is said to have.
        encoding: What its text is said to be encoded in.

    Raises:
        SourceFormatError: It is empty, can't be unpacked, or doesn't begin as text does.
    """
    from vostok_pipelines.sources.text import blocks

    with path.open("rb") as file:
        if source not in ("parquet", "feather"):
            next(blocks(file, path, encoding, size=1))
        elif not file.read(1):
            raise SourceFormatError("the file is empty", where=path, hint="download it again")


def days_of(texts: Iterable[str]) -> list[date]:
    """The days that texts like `2025-01-07` and `2025-02-01..2025-02-03` name, each once, in order.

    Raises:
        UsageError: One names no day, or a range that ends before it begins.
    """
    found: set[date] = set()
    for text in texts:
        first, dots, last = text.partition("..")
        since, until = parse_day(first), parse_day(last if dots else first)
        if until < since:
            raise UsageError(
                f"the range {text} ends before it begins", hint=f"write {until}..{since}"
            )
        found.update(days(since, until))
    return sorted(found)
