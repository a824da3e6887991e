"""docs/lake.md: current, and what it shows runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vostok_core.errors import UsageError
from vostok_core.lake.catalog import query
from vostok_core.lake.document import lake_markdown, main, updated
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TABLES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "lake.md"


def test_the_page_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert updated(page) == page, "run python -m vostok_core.lake.document docs/lake.md"


def test_every_table_and_column_is_in_it() -> None:
    text = lake_markdown()
    for table in TABLES.values():
        section = text.split(f"### {table.name}\n")[1].split("\n### ")[0]
        for column in table.columns:
            assert f"| `{column.name}` |" in section


def test_rewriting_keeps_what_people_wrote_and_is_idempotent(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    copy = tmp_path / "lake.md"
    copy.write_text(page.replace("### ticks\n", "### stale\n"), encoding="utf-8")
    assert main([str(copy)]) == 0
    assert copy.read_text(encoding="utf-8") == page


def test_a_page_without_a_place_for_the_tables_is_refused() -> None:
    with pytest.raises(UsageError, match="no place"):
        updated("# The lake\n")


def test_the_queries_it_shows_are_answered(lake: Lake) -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r'vostok sql "(SELECT.*?|SHOW.*?)"', page)
    for block in re.findall(r"```sql\n(.*?)```", page, flags=re.DOTALL):
        shown += [part for part in block.split(";") if part.strip()]
    assert len(shown) == 8
    for sql in shown:
        assert query(lake, sql).width > 0
