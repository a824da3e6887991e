"""What partitions and their files are called: `table/key=value/…/part-NAME.parquet`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from urllib.parse import quote, unquote

from vostok_core.lake.declare import Table

Key = str | date


def below(declared: Table, keys: Mapping[str, Key]) -> str:
    """The folder of what has some keys, which lead the path."""
    named = (f"{key}={quoted(keys[key])}" for key in declared.keys if key in keys)
    return "/".join([declared.name, *named])


def part_key(folder: str, part: str = "0") -> str:
    """The name of a part of a partition."""
    return f"{folder}/part-{quoted(part)}.parquet"


def keys_of(declared: Table, folder: str, key: str) -> tuple[str, ...] | None:
    """The values of the keys below a folder of a table that a file's name holds; None for what is
    no file of the table."""
    *parts, file = key[len(folder) + 1 :].split("/")
    named = [part.partition("=") for part in parts]
    open_keys = declared.keys[folder.count("/") :]
    if tuple(name for name, _, _ in named) != open_keys or not is_part(file):
        return None
    return tuple(unquote(value) for _, _, value in named)


def is_part(key: str) -> bool:
    """Whether a name is that of a part."""
    name = key.rpartition("/")[2]
    return name.startswith("part-") and name.endswith(".parquet")


def quoted(value: Key) -> str:
    """A key as one component of a path; what DuckDB's patterns know as special is escaped."""
    return quote(str(value), safe=" .-_:")


def spoken(keys: Mapping[str, Key]) -> str:
    """Keys, for people."""
    return ", ".join(f"{key}={value}" for key, value in keys.items())
