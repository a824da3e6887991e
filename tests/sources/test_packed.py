"""What a file is packed in is told by its content, and damage to it is never taken for its end."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.errors import SourceFormatError
from vostok_pipelines.sources import packed as packing
from vostok_pipelines.sources.packed import pieces

PACKINGS = ["zip", "csv.gz", "csv.zst", "csv.bz2", "csv.xz", "zip of gz", "gz of gz"]
TEXT = b"".join(b"%d,1.5,0.25,buy\n" % k for k in range(20_000))


def unpacked(data: bytes) -> bytes:
    return b"".join(pieces(io.BytesIO(data), Path("source")))


def refused(data: bytes) -> str:
    with pytest.raises(SourceFormatError) as caught:
        unpacked(data)
    assert caught.value.hint
    assert caught.value.where == "source"
    return str(caught.value)


@pytest.mark.parametrize("how", ["csv", *PACKINGS])
@pytest.mark.parametrize("text", [b"", b"1", TEXT], ids=["nothing", "one byte", "much"])
def test_what_was_packed_comes_out(packed, how, text):
    assert unpacked(packed(text, how)) == text


@pytest.mark.parametrize("how", PACKINGS)
def test_a_packing_that_is_cut_off_anywhere_is_refused(packed, how):
    data = packed(TEXT, how)
    for end in {len(data) - 1, len(data) - 4, len(data) - 9, len(data) // 2, len(data) // 9, 20}:
        assert "truncated or damaged" in refused(data[:end])


@pytest.mark.parametrize("how", [*PACKINGS])
def test_a_flipped_bit_is_refused_or_harmless(packed, how):
    data = packed(TEXT[:5_000], how)
    for at in range(0, len(data), max(1, len(data) // 200)):
        spoilt = bytearray(data)
        spoilt[at] ^= 0x10
        try:
            found = unpacked(bytes(spoilt))
        except SourceFormatError:
            continue
        # No checksum covers names and times; without its magic, a file is the text that it is.
        assert found in (TEXT[:5_000], bytes(spoilt)) or how in ("csv.zst", "zip of gz", "gz of gz")


@pytest.mark.parametrize("how", ["csv.gz", "csv.zst", "csv.bz2", "csv.xz"])
def test_streams_that_follow_one_another_are_one_text(packed, how):
    parts = [packed(TEXT[at : at + 200_000], how) for at in range(0, len(TEXT), 200_000)]
    assert unpacked(b"".join(parts)) == TEXT
    assert "truncated or damaged" in refused(b"".join(parts)[:-3])
    assert "truncated or damaged" in refused(parts[0] + b"and what is this?")


def test_zeros_after_a_gzip_are_padding(packed):
    assert unpacked(packed(TEXT, "csv.gz") + bytes(512)) == TEXT


def _zip(names: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_every_method_of_a_zip_is_known(method):
    assert unpacked(_zip({"a.csv": TEXT}, method)) == TEXT


def test_folders_and_what_macos_adds_are_no_files_of_a_zip():
    litter = {"data/": b"", "__MACOSX/data/._a.csv": b"\0\5\x16\7"}
    assert unpacked(_zip({**litter, "data/a.csv": TEXT})) == TEXT
    assert "the zip holds 0 files (none)" in refused(_zip(litter))
    assert "holds 2 files (a.csv, b.csv) instead of one" in refused(
        _zip({"a.csv": b"", "b.csv": b""})
    )


def test_a_zip_whose_checksum_or_length_is_another_is_refused():
    data = _zip({"a.csv": TEXT})
    at = data.rindex(b"PK\x01\x02")
    for offset in (16, 24):  # in the list of files: the checksum, the length
        spoilt = bytearray(data)
        spoilt[at + offset] ^= 1
        assert "not what its checksum says" in refused(bytes(spoilt))


def test_an_encrypted_zip_says_so():
    data = bytearray(_zip({"a.csv": TEXT}))
    for magic, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.index(magic) + offset] |= 1
    assert "the file in the zip (a.csv) is encrypted" in refused(bytes(data))


def test_a_zip_in_a_way_that_nobody_here_knows_says_so():
    data = bytearray(_zip({"a.csv": TEXT}))
    for magic, offset in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        data[data.index(magic) + offset] = 98  # PPMd
    assert "isn't known here" in refused(bytes(data))


def test_a_zip_inside_a_gzip_and_what_is_packed_too_often_are_refused(packed):
    assert "a zip archive lies inside" in refused(gzip.compress(packed(TEXT, "zip")))
    often = TEXT
    for _ in range(3):
        often = gzip.compress(often)
    assert unpacked(often) == TEXT
    assert "packed more than 3 times over" in refused(gzip.compress(often))


def test_what_would_unpack_to_far_more_than_market_data_do_is_refused(monkeypatch):
    monkeypatch.setattr(packing, "BOMB_FLOOR", 1 << 20)
    fine = b"1736121600,1.5,0.25,buy\n" * (1 << 15)  # packs 300 times over: so much is allowed
    assert unpacked(gzip.compress(fine)) == fine
    bomb = zlib.compress(bytes(64 << 20), wbits=31)
    found = pieces(io.BytesIO(bomb), Path("source"))
    taken = [0]
    with pytest.raises(SourceFormatError, match="more than 200 times its"):
        taken.extend(len(piece) for piece in found)
    assert sum(taken) <= 200 * len(bomb) + packing.PIECE


@settings(max_examples=200, deadline=None)
@given(
    how=st.sampled_from(["csv", *PACKINGS]),
    place=st.floats(0, 1),
    cut=st.integers(0, 30),
    junk=st.binary(max_size=30),
)
def test_whatever_a_packing_turns_into_comes_out_or_is_refused(packed, how, place, cut, junk):
    data = packed(TEXT[:2_000], how)
    at = int(place * len(data))
    try:
        unpacked(data[:at] + junk + data[at + cut :])
    except SourceFormatError as error:
        assert error.hint  # noqa: PT017 (unpacking it is just as good an outcome)
