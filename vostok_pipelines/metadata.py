"""What the Dagster UI shows of a partition: rows, schema, place, plots."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from vostok_core.lake.address import Place
from vostok_core.lake.parquet import PartitionInfo
from vostok_core.lake.tables import Table


def column_schema(table: Table) -> dg.TableSchema:
    """A table's declaration in Dagster's terms."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=str(column.dtype),
                description=column.description + (f" [{column.unit}]" if column.unit else ""),
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.columns
        ]
    )


def spec_metadata(table: Table) -> dict[str, Any]:
    """Metadata of the asset that writes a table."""
    return {
        "dagster/column_schema": column_schema(table),
        "dagster/table_name": table.name,
        "dagster/storage_kind": "parquet",
    }


def partition_metadata(info: PartitionInfo) -> dict[str, Any]:
    """Metadata of one written partition."""
    return {
        "dagster/partition_row_count": info.rows,
        "dagster/uri": info.path.as_uri(),
        "bytes": info.size,
        "content_hash": info.content_hash,
    }


def shown_place(place: Place) -> dg.MetadataValue:
    """A file or an object."""
    shown = dg.MetadataValue.path if isinstance(place, Path) else dg.MetadataValue.text
    return shown(str(place))


def plot(png: bytes) -> dg.MarkdownMetadataValue:
    """A plot that the UI shows in place."""
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(png).decode()})")


def table_markdown(rows: list[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """Rows as a Markdown table."""
    if not rows:
        return dg.MetadataValue.md("none")
    names = list(rows[0])
    lines = [
        "| " + " | ".join(names) + " |",
        "|" + " --- |" * len(names),
        *("| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows),
    ]
    return dg.MetadataValue.md("\n".join(lines))


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
