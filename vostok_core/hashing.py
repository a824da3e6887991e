"""Hashes of values and of frames, the same on every run and platform."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; floats in their shortest exact form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def one_line(value: Any) -> str:
    """JSON on one line, keys as they come: doubles keep their bits, and those that are no number
    their name. What the journal writes down, and what is held against it."""
    return json.dumps(value, separators=(",", ":"))


def hash_value(value: Any) -> str:
    """SHA-256 (hex) of a JSON-like value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_frame(frame: pl.DataFrame) -> str:
    """SHA-256 (hex) of a frame's content: column names, dtypes, values and nulls, in order.

    Independent of chunking, of how the frame was made and of the file it may be written to.
    """
    digest = hashlib.sha256()
    for series in frame.iter_columns():
        digest.update(f"{series.name}:{series.dtype}:{len(series)};".encode())
        if series.null_count():
            digest.update(np.packbits(series.is_null().to_numpy()).tobytes())
        if series.dtype == pl.String:
            lengths = series.str.len_bytes().fill_null(0).to_numpy()
            digest.update(np.ascontiguousarray(lengths).data)
            digest.update("".join(series.fill_null("").to_list()).encode())
            continue
        if isinstance(series.dtype, pl.List):
            lengths = series.list.len().cast(pl.Int64).fill_null(0).to_numpy()
            digest.update(np.ascontiguousarray(lengths).tobytes())
            inner = series.explode(empty_as_null=False, keep_nulls=False).rename("")
            digest.update(hash_frame(inner.to_frame()).encode())
            continue
        physical = series.to_physical()
        filled = physical.fill_null(False if physical.dtype == pl.Boolean else 0)
        digest.update(np.ascontiguousarray(filled.to_numpy()).data)
    return digest.hexdigest()
