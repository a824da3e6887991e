"""Whatever is in a file, it is read or refused: no other error, no crash, no row that can't be.

`test_fuzz_long` does the same with many more files.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.fuzzing import (
    NOTATIONS,
    PACKINGS,
    SPOILING,
    TEXTS,
    WORDS,
    columnar,
    must_be_read_or_refused,
    spoilt,
)


def test_the_files_that_are_spoilt_below_are_read_as_they_are() -> None:
    for format_, (instrument, text) in TEXTS.items():
        assert must_be_read_or_refused(text.encode(), format_, instrument), format_
    for container in ("parquet", "feather"):
        assert must_be_read_or_refused(columnar(container, "zstd"), container, "a.b.C-D")


@pytest.mark.parametrize("format_", TEXTS)
@settings(max_examples=25, deadline=None)
@given(spoiling=SPOILING, how=PACKINGS, before=st.booleans(), notation=NOTATIONS)
def test_a_spoilt_text_is_read_or_refused(packed, format_, spoiling, how, before, notation):
    instrument, text = TEXTS[format_]
    data = text.encode()
    data = packed(spoilt(data, spoiling), how) if before else spoilt(packed(data, how), spoiling)
    must_be_read_or_refused(data, format_, instrument)
    if format_ == "csv":
        must_be_read_or_refused(data, format_, instrument, notation)


@settings(max_examples=150, deadline=None)
@given(
    data=st.one_of(st.binary(max_size=300), st.text(max_size=100).map(str.encode)),
    format_=st.sampled_from([*TEXTS, "parquet", "feather"]),
    magic=st.sampled_from([b"", *WORDS]),
)
def test_anything_at_all_is_read_or_refused(data, format_, magic):
    must_be_read_or_refused(magic + data, format_, TEXTS.get(format_, ("a.b.C-D",))[0])


@pytest.mark.parametrize("container", ["parquet", "feather"])
@settings(max_examples=100, deadline=None)
@given(
    compression=st.sampled_from(["zstd", "lz4", "uncompressed"]),
    spoiling=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 4), st.binary(max_size=4)),
        min_size=1,
        max_size=3,
    ),
)
def test_a_spoilt_columnar_file_is_read_or_refused(container, compression, spoiling):
    data = spoilt(columnar(container, compression), spoiling)
    must_be_read_or_refused(data, container, "a.b.C-D")
