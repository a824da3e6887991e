"""The store: partitions are whole or absent, say what they hold, and are told apart when broken."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lake.rows import ITEM, as_written, ticks
from vostok_core.errors import (
    CorruptPartition,
    LakeVersionError,
    MissingPartition,
    SchemaViolation,
    UnknownName,
    UsageError,
)
from vostok_core.hashing import hash_frame
from vostok_core.lake.atomic import replacing
from vostok_core.lake.store import FORMAT_VERSION, Lake
from vostok_core.lake.tables import table

DAY = date(2024, 3, 1)


def everything_under(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


class TestWriting:
    def test_what_was_written_is_read_back_with_its_footer(self, lake: Lake) -> None:
        info = lake.write(
            "ticks", ticks(), code_version="7", inputs={"raw": "ab"}, instrument=ITEM, date=DAY
        )
        assert lake.read("ticks", instrument=ITEM, date=DAY).equals(as_written(ticks()))
        again = lake.info("ticks", instrument=ITEM, date=DAY)
        assert again == info
        assert (again.rows, again.code_version, again.inputs) == (4, "7", {"raw": "ab"})
        assert again.content_hash == hash_frame(as_written(ticks()))
        assert again.size == again.path.stat().st_size

    def test_a_second_write_replaces_the_whole_partition(self, lake: Lake) -> None:
        lake.write("ticks", ticks(9), code_version="1", instrument=ITEM, date=DAY)
        lake.write("ticks", ticks(2), code_version="1", instrument=ITEM, date=DAY)
        assert lake.read("ticks", instrument=ITEM, date=DAY).height == 2
        assert lake.info("ticks", instrument=ITEM, date=DAY).rows == 2

    def test_an_empty_frame_is_a_partition_too(self, lake: Lake) -> None:
        lake.write("ticks", ticks().clear(), code_version="1", instrument=ITEM, date=DAY)
        assert lake.exists("ticks", instrument=ITEM, date=DAY)
        assert lake.read("ticks", instrument=ITEM, date=DAY).schema == as_written(ticks()).schema

    def test_columns_in_another_order_are_put_in_the_tables_order(self, lake: Lake) -> None:
        shuffled = ticks().select(reversed(ticks().columns))
        lake.write("ticks", shuffled, code_version="1", instrument=ITEM, date=DAY)
        assert lake.read("ticks", instrument=ITEM, date=DAY).equals(as_written(ticks()))

    def test_a_column_that_came_to_its_table_later_is_null_in_what_was_written_before(
        self, lake: Lake
    ) -> None:
        place = {"strategy": "s", "instrument": ITEM, "configuration": "c"}
        before = pl.DataFrame(
            {"date": [DAY], "net_return": [0.1], "benchmark_return": [0.0], "trades": [1]}
        )
        info = lake.write("trials", before, code_version="1", **place)  # who doesn't know it
        assert lake.read("trials", **place)["observed"].to_list() == [None]
        footer = json.loads(pl.read_parquet_metadata(info.path)["vostok"])
        for later in ("columns", "encoding", "seal"):
            footer.pop(later)
        before.write_parquet(info.path, metadata={"vostok": json.dumps(footer)})  # as it was then
        found = lake.load("trials", **place)[1]
        assert found.columns == list(table("trials").schema)
        assert found.drop("observed").equals(before)
        assert found["observed"].to_list() == [None]
        assert found["observed"].dtype == pl.Float64
        some = lake.read("trials", columns=["observed", "date"], **place)
        assert some.row(0) == (None, DAY)
        assert lake.read("trials", columns=["date"], **place).columns == ["date"]

    def test_only_the_asked_columns_are_read(self, lake: Lake) -> None:
        lake.write("ticks", ticks(), code_version="1", instrument=ITEM, date=DAY)
        frame = lake.read("ticks", columns=["qty"], instrument=ITEM, date=DAY)
        assert frame.columns == ["qty"]

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (pl.col("price") * -1, "price"),
            (pl.lit(None, dtype=pl.Float64).alias("price"), "price"),
            (pl.lit(float("nan")).alias("qty"), "qty"),
            (pl.lit(float("inf")).alias("qty"), "qty"),
            (pl.lit(1, dtype=pl.Int64).alias("trade_id"), "trade_id"),
            (pl.col("price").cast(pl.String), "price"),
            (pl.lit(1.0).alias("surplus"), "surplus"),
            (pl.col("ts").dt.replace_time_zone(None), "ts"),
        ],
        ids=["negative", "null", "nan", "infinite", "doubled", "text", "unknown", "zoneless"],
    )
    def test_rows_the_table_refuses_leave_the_lake_as_it_was(
        self, lake: Lake, change: pl.Expr, told: str
    ) -> None:
        lake.write("ticks", ticks(2), code_version="1", instrument=ITEM, date=DAY)
        before = everything_under(lake.root)
        with pytest.raises(SchemaViolation, match=told):
            lake.write(
                "ticks", ticks().with_columns(change), code_version="2", instrument=ITEM, date=DAY
            )
        assert everything_under(lake.root) == before

    def test_a_missing_column_is_refused_by_name_and_makes_no_folder(self, lake: Lake) -> None:
        with pytest.raises(SchemaViolation, match="qty"):
            lake.write("ticks", ticks().drop("qty"), code_version="1", instrument=ITEM, date=DAY)
        assert not (lake.root / "ticks").exists()

    def test_a_failing_disk_leaves_the_old_partition_and_no_debris(
        self, lake: Lake, tmp_path: Path
    ) -> None:
        lake.write("ticks", ticks(2), code_version="1", instrument=ITEM, date=DAY)
        before = everything_under(lake.root)
        # The limit on file sizes is set in a child, so that it binds nobody else.
        code = (
            "import resource, signal, sys; from datetime import date; import polars as pl;"
            "from vostok_core.lake.store import Lake;"
            "frame = pl.read_parquet(sys.argv[2]);"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
            "Lake.open(sys.argv[1]).write('ticks', frame, code_version='2',"
            f" instrument={ITEM!r}, date=date(2024, 3, 1))"
        )
        big = tmp_path / "big.parquet"
        noise = random.Random(1)
        ticks(20_000).with_columns(
            pl.Series("qty", [noise.random() + 0.1 for _ in range(20_000)])
        ).write_parquet(big)
        done = subprocess.run(
            [sys.executable, "-c", code, str(lake.root), str(big)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert "File too large" in done.stderr
        assert everything_under(lake.root) == before


class TestKilled:
    def test_a_writer_killed_at_random_moments_leaves_only_whole_partitions(
        self, tmp_path: Path
    ) -> None:
        root = tmp_path / "lake"
        lake = Lake.open(root)
        code = (
            "import sys, itertools; from datetime import date; import polars as pl;"
            "from vostok_core.lake.store import Lake;"
            "lake = Lake.open(sys.argv[1]); frame = pl.read_parquet(sys.argv[2])\n"
            "for n in itertools.count():\n"
            "    changed = frame.with_columns(pl.col('price') + n)\n"
            "    lake.write('ticks', changed, code_version=str(n), instrument='a.b.C-D',"
            " date=date(2024, 3, 1 + n % 5))\n"
            "    n or print('at work', flush=True)\n"
        )
        source = tmp_path / "frame.parquet"
        ticks(20_000).write_parquet(source)
        moments = random.Random(7)
        for _ in range(3):
            child = subprocess.Popen(
                [sys.executable, "-c", code, str(root), str(source)], stdout=subprocess.PIPE
            )
            assert child.stdout is not None
            with child.stdout:
                assert child.stdout.readline() == b"at work\n"
                time.sleep(moments.uniform(0.05, 0.4))
                child.send_signal(signal.SIGKILL)
                child.wait()
            for day in lake.days("ticks", instrument="a.b.C-D"):
                frame = lake.read("ticks", instrument="a.b.C-D", date=day)
                info = lake.info("ticks", instrument="a.b.C-D", date=day)
                assert hash_frame(frame) == info.content_hash
                assert frame.height == info.rows == 20_000
        assert lake.days("ticks", instrument="a.b.C-D"), "the writers never finished a partition"
        lake.write("ticks", ticks(), code_version="1", instrument="a.b.C-D", date=DAY)
        assert lake.read("ticks", instrument="a.b.C-D", date=DAY).height == 4

    def test_a_temporary_file_is_no_partition(self, lake: Lake) -> None:
        folder = lake.partition("ticks", instrument=ITEM, date=DAY)
        folder.mkdir(parents=True)
        (folder / ".part-0.parquet.0123.tmp").write_bytes(b"half a file")
        assert not lake.exists("ticks", instrument=ITEM, date=DAY)
        assert lake.days("ticks", instrument=ITEM) == []
        with pytest.raises(MissingPartition):
            lake.read("ticks", instrument=ITEM, date=DAY)


class TestHashing:
    @given(
        st.lists(
            st.tuples(
                st.one_of(st.none(), st.text(max_size=5)),
                st.one_of(st.none(), st.floats()),
                st.one_of(st.none(), st.booleans()),
                st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
            ),
            min_size=1,
            max_size=30,
        ),
        st.integers(0, 30),
    )
    @settings(max_examples=60, deadline=None)
    def test_the_hash_does_not_depend_on_chunks_or_on_how_a_frame_was_made(
        self, rows: list[tuple[object, ...]], cut: int
    ) -> None:
        schema = {"a": pl.String, "b": pl.Float64, "c": pl.Boolean, "d": pl.Int64}
        whole = pl.DataFrame(rows, schema=schema, orient="row")
        pieces = pl.concat([whole.head(cut), whole.slice(cut)], rechunk=False)
        assert hash_frame(whole) == hash_frame(pieces)

    def test_every_difference_changes_the_hash(self) -> None:
        frame = pl.DataFrame({"a": ["x", "yz"], "b": [0.0, None]})
        others = [
            frame.with_columns(pl.Series("a", ["xy", "z"])),
            frame.with_columns(pl.Series("b", [0.0, 0.0])),
            frame.with_columns(pl.Series("b", [-0.0, None])),
            frame.with_columns(pl.Series("a", ["x", None])),
            frame.with_columns(pl.col("b").cast(pl.Float32)),
            frame.rename({"a": "c"}),
            frame.reverse(),
            frame.head(1),
            frame.select("b", "a"),
        ]
        hashes = {hash_frame(f) for f in [frame, *others]}
        assert len(hashes) == len(others) + 1

    def test_an_empty_text_differs_from_none(self) -> None:
        assert hash_frame(pl.DataFrame({"a": [""]})) != hash_frame(
            pl.DataFrame({"a": [None]}, schema={"a": pl.String})
        )

    def test_the_hash_is_the_same_in_every_version(self) -> None:
        # A lake outlives the code: changing this means every stored hash is wrong.
        frame = pl.DataFrame({"a": ["x", None], "b": [0.5, 2.0]})
        assert hash_frame(frame) == (
            "8d48b3a37cd32d7b8f651a52fb7c8c2d8a38464cca0e7c48ec4cc0c03e2ab01f"
        )


class TestBrokenFiles:
    @pytest.mark.parametrize("keep", [0, 3, 200, -9], ids=["empty", "3 bytes", "head", "tailless"])
    def test_a_cut_off_file_is_named(self, lake: Lake, keep: int) -> None:
        info = lake.write("ticks", ticks(500), code_version="1", instrument=ITEM, date=DAY)
        info.path.write_bytes(info.path.read_bytes()[:keep])
        for access in (lake.read, lake.info):
            with pytest.raises(CorruptPartition, match=r"part-0\.parquet") as caught:
                access("ticks", instrument=ITEM, date=DAY)
            assert caught.value.hint

    def test_bytes_changed_anywhere_never_escape_as_another_error(self, lake: Lake) -> None:
        info = lake.write("ticks", ticks(500), code_version="1", instrument=ITEM, date=DAY)
        content = info.path.read_bytes()
        chance = random.Random(3)
        noticed = 0
        for _ in range(150):
            broken = bytearray(content)
            place = chance.randrange(len(broken))
            broken[place] ^= 1 << chance.randrange(8)
            info.path.write_bytes(broken)
            try:
                frame = lake.read("ticks", instrument=ITEM, date=DAY)
                noticed += (
                    hash_frame(frame) != lake.info("ticks", instrument=ITEM, date=DAY).content_hash
                )
            except CorruptPartition:
                noticed += 1
        assert noticed > 75

    def test_a_parquet_file_of_somebody_else_has_no_footer_of_ours(self, lake: Lake) -> None:
        folder = lake.partition("ticks", instrument=ITEM, date=DAY)
        folder.mkdir(parents=True)
        ticks().write_parquet(folder / "part-0.parquet")
        with pytest.raises(CorruptPartition, match="footer"):
            lake.info("ticks", instrument=ITEM, date=DAY)


class TestOpening:
    def test_a_lake_of_a_newer_version_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        lake = Lake.open(tmp_path / "lake")
        marker = lake.root / "vostok-lake.json"
        marker.write_text(json.dumps({"format": FORMAT_VERSION + 1}))
        before = everything_under(lake.root)
        with pytest.raises(LakeVersionError, match="update Vostok"):
            Lake.open(lake.root)
        assert everything_under(lake.root) == before

    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": "new"}', "null"])
    def test_a_marker_that_does_not_read_is_named(self, tmp_path: Path, content: str) -> None:
        lake = Lake.open(tmp_path / "lake")
        (lake.root / "vostok-lake.json").write_text(content)
        with pytest.raises(CorruptPartition, match=r"vostok-lake\.json"):
            Lake.open(lake.root)

    def test_a_file_is_no_lake(self, tmp_path: Path) -> None:
        (tmp_path / "lake").write_text("hello")
        with pytest.raises(UsageError, match="is a file"):
            Lake.open(tmp_path / "lake")

    def test_a_folder_without_a_lake_is_not_made_one_unasked(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="holds no lake"):
            Lake.open(tmp_path / "nothing", create=False)
        assert not (tmp_path / "nothing").exists()


class TestKeys:
    @given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12))
    @settings(max_examples=80, deadline=None)
    def test_a_key_may_be_any_text_and_never_leaves_the_lake(self, text: str) -> None:
        lake = Lake(Path("/lake"))
        path = lake.partition("trials", strategy=text, instrument="a", configuration="b")
        assert path.parent.parent.parent == Path("/lake/trials")
        assert ".." not in path.parts

    @pytest.mark.parametrize("name", ["a/b", "..", "c d", "50%", "a=b", "é✓", "*", "[x]", "a+b"])
    def test_odd_keys_are_written_listed_and_read(self, lake: Lake, name: str) -> None:
        frame = pl.DataFrame(
            {
                "date": [DAY],
                "net_return": [0.1],
                "benchmark_return": [0.0],
                "trades": [1],
                "observed": [1.0],
            }
        )
        for strategy in (name, "other"):
            lake.write(
                "trials",
                frame,
                code_version="1",
                strategy=strategy,
                instrument=ITEM,
                configuration="c",
            )
        assert lake.keys("trials") == sorted([name, "other"])
        assert lake.keys("trials", strategy=name) == [ITEM]
        assert lake.keys("trials", strategy=name, instrument=ITEM) == ["c"]
        read = lake.read("trials", strategy=name, instrument=ITEM, configuration="c")
        assert read.equals(frame)

    def test_days_are_listed_in_order_and_only_if_written(self, lake: Lake) -> None:
        for day in (date(2024, 3, 10), date(2024, 3, 9)):
            lake.write("ticks", ticks(), code_version="1", instrument=ITEM, date=day)
        lake.partition("ticks", instrument=ITEM, date="2024-03-11").mkdir()
        assert lake.days("ticks", instrument=ITEM) == [date(2024, 3, 9), date(2024, 3, 10)]
        assert lake.days("ticks", instrument="nobody") == []

    def test_keys_that_are_not_the_tables_are_refused(self, lake: Lake) -> None:
        with pytest.raises(ValueError, match="keyed by"):
            lake.partition("ticks", instrument=ITEM)
        with pytest.raises(UnknownName, match="tick"):
            lake.partition("tickz", instrument=ITEM, date=DAY)

    def test_a_fixed_key_that_does_not_lead_the_path_is_refused(self, lake: Lake) -> None:
        with pytest.raises(ValueError, match="lead"):
            lake.keys("ticks", date=DAY)
        with pytest.raises(ValueError, match="lead"):
            lake.keys("ticks", strategy="x")

    def test_a_missing_partition_says_how_to_make_it(self, lake: Lake) -> None:
        with pytest.raises(MissingPartition, match=r"vostok materialize ticks .* 2024-03-01"):
            lake.read("ticks", instrument=ITEM, date=DAY)
        scores = r"vostok materialize news,sentiment_scores --from 2024-03-01 --to 2024-03-01`"
        for name in ("news", "sentiment_scores"):
            with pytest.raises(MissingPartition, match=scores):
                lake.read(name, date=DAY)
        with pytest.raises(MissingPartition, match="vostok materialize features/core --instrument"):
            lake.read("features", pack="core", instrument=ITEM, interval="1m", date=DAY)


class TestParts:
    def test_parts_are_read_together_in_the_order_of_their_names(self, lake: Lake) -> None:
        for part, start in (("b", 100), ("a", 1)):
            lake.write(
                "raw_trades",
                ticks(2, start=start),
                code_version="1",
                part=part,
                instrument=ITEM,
                date=DAY,
            )
        frame = lake.read("raw_trades", instrument=ITEM, date=DAY)
        assert frame["trade_id"].to_list() == [1, 2, 100, 101]
        info = lake.info("raw_trades", instrument=ITEM, date=DAY)
        assert info.rows == 4
        assert len(info.inputs) == 2

    def test_writing_a_part_again_replaces_that_part_alone(self, lake: Lake) -> None:
        def write(part: str, start: int) -> None:
            lake.write(
                "raw_trades",
                ticks(2, start=start),
                code_version="1",
                part=part,
                instrument=ITEM,
                date=DAY,
            )

        write("a", 1)
        write("b", 10)
        before = lake.info("raw_trades", instrument=ITEM, date=DAY).content_hash
        write("a", 1)
        assert lake.info("raw_trades", instrument=ITEM, date=DAY).content_hash == before
        write("a", 5)
        assert lake.read("raw_trades", instrument=ITEM, date=DAY)["trade_id"].to_list() == [
            5,
            6,
            10,
            11,
        ]
        assert lake.info("raw_trades", instrument=ITEM, date=DAY).content_hash != before

    def test_a_part_named_like_a_path_stays_in_its_partition(self, lake: Lake) -> None:
        lake.write(
            "raw_trades",
            ticks(),
            code_version="1",
            part="../x y/z.csv",
            instrument=ITEM,
            date=DAY,
        )
        assert lake.read("raw_trades", instrument=ITEM, date=DAY).height == 4
        folders = [path.parent for path in lake.root.rglob("*.parquet")]
        assert folders == [lake.partition("raw_trades", instrument=ITEM, date=DAY)]


def test_a_reader_sees_the_old_partition_or_the_new_while_one_writes(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    lake = Lake.open(root)
    lake.write("ticks", ticks(1000), code_version="0", instrument=ITEM, date=DAY)
    source = tmp_path / "frame.parquet"
    ticks(1000).write_parquet(source)
    code = (
        "import sys, itertools; from datetime import date; import polars as pl;"
        "from vostok_core.lake.store import Lake;"
        "lake = Lake.open(sys.argv[1]); frame = pl.read_parquet(sys.argv[2])\n"
        "for n in itertools.count():\n"
        "    lake.write('ticks', frame.with_columns(price=pl.lit(1.0 + n)), code_version=str(n),"
        f" instrument={ITEM!r}, date=date(2024, 3, 1))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(root), str(source)])
    try:
        seen: set[float] = set()
        until = time.monotonic() + 60
        while len(seen) < 5 and time.monotonic() < until:
            frame = lake.read("ticks", instrument=ITEM, date=DAY)
            assert frame.height == 1000
            prices = set(frame["price"].to_list())
            if frame["price"][0] != 10.0 or frame["price"][1] != 11.0:
                assert len(prices) == 1, "rows of two writes in one read"
                seen |= prices
    finally:
        child.kill()
        child.wait()
    assert len(seen) >= 5, "the writer was not seen at work"


def test_new_folders_are_synced_up_to_the_first_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    target = tmp_path / "a" / "b" / "c" / "file"
    with replacing(target) as temporary:
        temporary.write_text("x")
    # The name of each new folder stands in the one above it.
    assert {tmp_path, tmp_path / "a", tmp_path / "a" / "b", target.parent} <= set(synced)
    assert synced[-1] == target.parent
    synced.clear()
    with replacing(target) as temporary:
        temporary.write_text("y")
    assert len(synced) == 2


class TestOlderFiles:
    """What an older version wrote reads as if it had been written now."""

    FOOTER = '{"rows": 4, "content_hash": "ab", "code_version": "1", "inputs": {}}'

    def older(self, lake: Lake, frame: pl.DataFrame) -> Path:
        folder = lake.partition("ticks", instrument=ITEM, date=DAY)
        folder.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(folder / "part-0.parquet", metadata={"vostok": self.FOOTER})
        return folder / "part-0.parquet"

    def test_a_column_that_came_later_is_null(self, lake: Lake) -> None:
        self.older(lake, ticks())
        assert lake.read("ticks", instrument=ITEM, date=DAY).equals(as_written(ticks()))
        picked = lake.read("ticks", columns=["best_match", "qty"], instrument=ITEM, date=DAY)
        assert picked.rows() == [(None, 0.5)] * 4

    def test_a_column_that_has_gone_is_left_out(self, lake: Lake) -> None:
        self.older(lake, ticks().with_columns(row=pl.int_range(pl.len())))
        assert lake.read("ticks", instrument=ITEM, date=DAY).equals(as_written(ticks()))

    def test_a_file_that_lacks_another_is_damaged(self, lake: Lake) -> None:
        self.older(lake, ticks().drop("qty"))
        with pytest.raises(CorruptPartition, match="lacks the columns qty"):
            lake.read("ticks", instrument=ITEM, date=DAY)

    def test_a_column_that_nobody_declared_is_a_usage_error(self, lake: Lake) -> None:
        self.older(lake, ticks())
        with pytest.raises(UsageError, match="no column 'cost'"):
            lake.read("ticks", columns=["cost"], instrument=ITEM, date=DAY)
