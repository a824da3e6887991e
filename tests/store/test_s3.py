"""What a network and a server can do to a lake in an object store, by a real server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.lake.rows import ITEM, as_written, ticks
from tests.lake.test_store import DAY
from tests.store.proxy import Proxy, Request, answer, between
from tests.store.server import BUCKET, Server
from vostok_core.errors import BundleError, Conflict, CorruptPartition, StoreError, UsageError
from vostok_core.lake.address import S3Options, parse_address
from vostok_core.lake.objects import UNWRITTEN
from vostok_core.lake.remembering import RememberingLake
from vostok_core.lake.s3 import MARKER, S3Objects
from vostok_core.lake.store import Lake
from vostok_core.lake.turns import turn
from vostok_core.models.bundle_folder import keep_bundle, load_bundle, load_kept, write_bundle
from vostok_core.models.folders import is_there, stamps
from vostok_core.models.registry import Promotion, bundle_path, kept_path, promotion, put_in_service

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"instrument": ITEM, "date": DAY}


@pytest.fixture
def lake(s3_address: str, tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake.open(s3_address, home=tmp_path / "home")


@pytest.fixture
def proxy(s3_server: Server) -> Iterator[Proxy]:
    """Something between the lake and the server."""
    with between(s3_server.port) as found:
        yield found


@pytest.fixture
def through(lake: Lake, proxy: Proxy) -> Lake:
    """The same lake, reached through it, with conditions proven."""
    found = Lake.open(str(lake.root), options=S3Options(proxy.url))
    found.objects.put_if("proven", b"", UNWRITTEN)
    proxy.seen.clear()
    return found


class TestFaults:
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_broken_connection_is_tried_again_and_nothing_is_written_twice(
        self, through: Lake, proxy: Proxy, when: str
    ) -> None:
        broken = []

        def fault(request: Request) -> str | None:
            if request.method == "PUT" and len(broken) < 2:
                broken.append(request)
                return when
            return None

        proxy.fault = fault
        info = through.write("ticks", ticks(), code_version="1", over=UNWRITTEN, **KEYS)
        assert len(broken) == 2
        proxy.fault = None
        assert through.info("ticks", **KEYS) == info
        with pytest.raises(Conflict):
            through.write("ticks", ticks(2), code_version="1", over=UNWRITTEN, **KEYS)

    def test_a_busy_server_is_asked_again(self, through: Lake, proxy: Proxy) -> None:
        busy = answer("503 Slow Down", body="<Error><Code>SlowDown</Code></Error>")
        left = iter([busy] * 3)
        proxy.fault = lambda _: next(left, None)
        through.write("ticks", ticks(), code_version="1", over=UNWRITTEN, **KEYS)
        left = iter([busy] * 3)
        assert through.read("ticks", **KEYS).equals(as_written(ticks()))

    def test_of_an_answer_that_was_lost_and_a_writer_in_between_the_loser_is_told(
        self, lake: Lake, through: Lake, proxy: Proxy
    ) -> None:
        def fault(request: Request) -> str | None:
            if request.is_conditional and len(proxy.seen) == 1:
                lake.write("ticks", ticks(2), code_version="other", **KEYS)
                return "before"
            return None

        proxy.fault = fault
        with pytest.raises(Conflict):
            through.write("ticks", ticks(), code_version="1", over=UNWRITTEN, **KEYS)
        assert lake.info("ticks", **KEYS).code_version == "other"

    def test_a_pointer_that_moved_meanwhile_is_not_moved_back(
        self, lake: Lake, through: Lake, proxy: Proxy
    ) -> None:
        """A holder of the turn that slept through its end is stopped by what it has seen."""
        sha, place = "a" * 64, ("s", "test.spot.AAA-USD")
        older, newer = (
            Promotion(*place, week, f"models/bundles/{sha}", sha)
            for week in ("2024-03-04", "2024-03-11")
        )

        def fault(request: Request) -> None:
            if request.method == "PUT" and request.path.endswith("/test.spot.AAA-USD"):
                key = ".test.spot.AAA-USD.lock"
                lake.objects.delete(f"models/promoted/s/{key}")  # as if it had been taken for left
                put_in_service(lake, newer, at=2)

        proxy.fault = fault
        with pytest.raises(Conflict):
            put_in_service(through, older, at=1)
        assert promotion(lake, *place) == newer

    def test_a_server_that_ignores_conditions_is_refused(self, lake: Lake, proxy: Proxy) -> None:
        def fault(request: Request) -> bytes | None:
            return answer("200 OK", 'ETag: "1"\r\n') if request.is_conditional else None

        for header in ("if-none-match", "if-match"):
            proxy.fault = lambda request, header=header: (
                answer("200 OK", 'ETag: "1"\r\n') if header in request.headers else None
            )
            objects = S3Objects(parse_address(str(lake.root)), S3Options(proxy.url), None)
            with pytest.raises(StoreError, match="undo each other's work"):
                objects.put_if("ticks/x", b"1", UNWRITTEN)
        assert lake.objects.names("ticks") == []
        assert Lake.open(str(lake.root)).objects.read(MARKER)[0].startswith(b'{"format"')

    def test_what_can_be_wrong_with_a_store_is_said(
        self, lake: Lake, s3_server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stranger")
        with pytest.raises(StoreError, match="refuses to read it") as caught:
            Lake.open(f"{lake.root}/1", options=S3Options(s3_server.url))
        assert "AWS_ACCESS_KEY_ID" in str(caught.value)
        assert f"{lake.root}/1/{MARKER}" in str(caught.value)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
        reading = Lake.open(str(lake.root), options=S3Options(s3_server.url, "eu-west-1"))
        with pytest.raises(StoreError, match="refuses to write it"):
            reading.write("ticks", ticks(), code_version="1", **KEYS)
        with pytest.raises(StoreError, match="there is no bucket nowhere-at-all"):
            Lake.open("s3://nowhere-at-all/x", create=False, options=S3Options(s3_server.url))
        with pytest.raises(UsageError, match="holds no lake"):
            Lake.open(f"s3://{BUCKET}/nothing", create=False, options=S3Options(s3_server.url))
        assert nobody

    def test_nobody_at_the_address_is_said_within_a_minute(self, lake: Lake) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(StoreError, match="can't read it") as caught:
            Lake.open(str(lake.root), options=S3Options(nobody))
        assert time.monotonic() - began < 60
        assert "whether the server runs" in str(caught.value)

    def test_a_damaged_object_is_named_and_others_are_read(self, lake: Lake) -> None:
        days = [DAY + timedelta(days=number) for number in range(3)]
        for day in days:
            lake.write("ticks", ticks(), code_version="1", instrument=ITEM, date=day)
        lake.objects.put(f"ticks/instrument={ITEM}/date={days[1]}/part-0.parquet", b"PAR1 nonsense")
        seen = RememberingLake.of(lake)
        assert seen.info("ticks", instrument=ITEM, date=days[0]).rows == 4
        assert seen.info("ticks", instrument=ITEM, date=days[2]).rows == 4
        for reading in (seen, lake):
            with pytest.raises(CorruptPartition) as caught:
                reading.info("ticks", instrument=ITEM, date=days[1])
            assert f"s3://{BUCKET}/" in str(caught.value)
        with pytest.raises(CorruptPartition):
            lake.read("ticks", instrument=ITEM, date=days[1])


class TestRequests:
    """What each operation costs, counted where it passes."""

    def test_one_partition(self, through: Lake, proxy: Proxy) -> None:
        asked = {
            "write": lambda: through.write("ticks", ticks(), code_version="1", **KEYS),
            "seen": lambda: through.seen("ticks", **KEYS),
            "exists": lambda: through.exists("ticks", **KEYS),
            "info": lambda: through.info("ticks", **KEYS),
            "load": lambda: through.load("ticks", **KEYS),
            "keys": lambda: through.keys("ticks"),
        }
        costs = {}
        for name, ask in asked.items():
            proxy.seen.clear()
            ask()
            costs[name] = proxy.counts()
        assert costs == {
            "write": {"PUT": 1},
            "seen": {"HEAD": 1},
            "exists": {"HEAD": 1},
            "info": {"GET": 1},
            "load": {"GET": 1},
            "keys": {"GET": 1},
        }

    def test_days_cost_a_page_and_not_a_request_each(
        self, lake: Lake, through: Lake, proxy: Proxy
    ) -> None:
        days = [date(2020, 1, 1) + timedelta(days=number) for number in range(1100)]
        content, _ = _file_of(lake)
        _put_many(
            lake, {f"ticks/instrument={ITEM}/date={day}/part-0.parquet" for day in days}, content
        )
        proxy.seen.clear()
        assert through.days("ticks", instrument=ITEM) == [*days, DAY]
        assert proxy.counts() == {"GET": 2}
        assert through.objects.requests["list"] == 2  # and they are counted right
        proxy.seen.clear()
        looking = RememberingLake.of(through)
        there = [day for day in days[:400] if looking.exists("ticks", instrument=ITEM, date=day)]
        assert (len(there), proxy.counts()) == (400, {"GET": 2})
        proxy.seen.clear()
        found = {day: looking.info("ticks", instrument=ITEM, date=day) for day in days[:64]}
        assert {info.rows for info in found.values()} == {4}
        assert proxy.counts() == {"GET": 64}
        proxy.seen.clear()
        again = RememberingLake.anew(through)
        assert {day: again.info("ticks", instrument=ITEM, date=day) for day in days[:64]} == found
        assert proxy.counts() == {"GET": 2}  # the footers are known by their tags
        lake.write("ticks", ticks(7), code_version="2", instrument=ITEM, date=days[3])
        swapped = RememberingLake.anew(through).info("ticks", instrument=ITEM, date=days[3])
        assert (swapped.rows, swapped.code_version) == (7, "2")


class TestTurns:
    def test_a_turn_whose_holder_was_killed_is_taken_after_a_while(self, lake: Lake) -> None:
        script = textwrap.dedent(
            """
            import sys, time
            from vostok_core.lake.store import Lake
            from vostok_core.lake.turns import turn
            lake = Lake.open(sys.argv[1])
            with turn(lake.objects, "news", None, lease=2.0, beat=0.4):
                print("held", flush=True)
                time.sleep(60)
            """
        )
        holder = subprocess.Popen(
            [sys.executable, "-c", script, str(lake.root)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        taken = threading.Event()

        def wait() -> None:
            with turn(lake.objects, "news", None, lease=2.0, beat=0.4):
                taken.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not taken.wait(5.0)  # it gives signs, for longer than a turn without them lasts
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
        assert taken.wait(20.0)
        waiting.join()

    def test_a_holder_that_slept_through_its_turn_is_told(self, lake: Lake) -> None:
        script = textwrap.dedent(
            """
            import sys
            from vostok_core.errors import Conflict
            from vostok_core.lake.store import Lake
            from vostok_core.lake.turns import turn
            lake = Lake.open(sys.argv[1])
            try:
                with turn(lake.objects, "news", None, lease=1.0, beat=0.2):
                    print("held", flush=True)
                    sys.stdin.readline()
            except Conflict as error:
                print("told", "turn" in error.what, flush=True)
            """
        )
        holder = subprocess.Popen(
            [sys.executable, "-c", script, str(lake.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGSTOP)
        with turn(lake.objects, "news", None, lease=1.0, beat=0.2):
            holder.send_signal(signal.SIGCONT)
            said, _ = holder.communicate(b"\n", timeout=30)
        assert said == b"told True\n"

    def test_what_was_raised_in_a_turn_frees_it(self, lake: Lake) -> None:
        with pytest.raises(ValueError, match="mine"), lake.sole_writer("news"):
            raise ValueError("mine")
        began = time.monotonic()
        with lake.sole_writer("news"):
            assert time.monotonic() - began < 5


class TestBundles:
    def test_a_bundle_is_one_object_and_is_verified_whole(self, lake: Lake, bundle_of) -> None:
        place = bundle_path(lake, "alpha", ITEM, DAY)
        with pytest.raises(BundleError, match="there is no bundle"):
            load_bundle(place)
        bundle = bundle_of({"note.txt": b"hello"})
        assert not is_there(place)
        assert write_bundle(place, bundle) == bundle.sha256
        assert is_there(place)
        assert load_bundle(place).files() == bundle.files()
        kept = kept_path(lake, bundle.sha256)
        keep_bundle(place, kept, sha256=bundle.sha256, gate=b'{"a": 1}')
        assert load_kept(kept, sha256=bundle.sha256)[1] == b'{"a": 1}'
        before = stamps(place)
        assert lake.objects.names("models") == [
            f"models/bundles/{bundle.sha256}.zip",
            f"models/strategy=alpha/instrument={ITEM}/week={DAY}/bundle.zip",
        ]
        content, _ = lake.objects.read(f"{place.key}.zip")
        for spot in range(0, len(content), len(content) // 25):
            damaged = bytearray(content)
            damaged[spot] ^= 1
            lake.objects.put(f"{place.key}.zip", bytes(damaged))
            with suppress(BundleError):  # or it is a bit that says nothing of the files
                assert load_bundle(place).files() == bundle.files()
        lake.objects.put(f"{place.key}.zip", content[:-100])
        with pytest.raises(BundleError):
            load_bundle(place)
        assert stamps(place) != before

    def test_a_copied_folder_reads_in_either_place(self, lake: Lake, tmp_path, bundle_of) -> None:
        bundle = bundle_of()
        folder = tmp_path / "bundle"
        write_bundle(folder, bundle)
        place = lake.objects.place("models/copied")
        for name, content in bundle.files().items():
            lake.objects.put(f"models/copied/{name}", content)
        assert load_bundle(place).sha256 == bundle.sha256
        write_bundle(place, bundle)
        assert lake.objects.names("models") == ["models/copied.zip"]
        back = tmp_path / "back" / "bundle"
        back.parent.mkdir()
        (back.parent / "bundle.zip").write_bytes(lake.objects.read("models/copied.zip")[0])
        assert load_bundle(back).sha256 == bundle.sha256
        write_bundle(back, bundle)
        assert sorted(path.name for path in back.parent.iterdir()) == [".bundle.lock", "bundle"]


def test_the_endpoint_and_the_key_come_from_the_environment(
    s3_address: str, s3_server: Server
) -> None:
    code = "import sys; from vostok_core.lake.store import Lake; print(Lake.open(sys.argv[1]).root)"
    result = subprocess.run(
        [sys.executable, "-c", code, s3_address],
        capture_output=True, text=True, check=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **s3_server.environment},
    )  # fmt: skip
    assert result.stdout == f"{s3_address}\n"


def test_a_folder_lake_needs_no_client(tmp_path: Path) -> None:
    code = (
        "import sys; from vostok_core.lake.store import Lake; Lake.open(sys.argv[1])\n"
        "assert not {'obstore', 'fsspec'} & sys.modules.keys()"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "lake")],
        check=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )


def _file_of(lake: Lake) -> tuple[bytes, pl.DataFrame]:
    info = lake.write("ticks", ticks(), code_version="1", **KEYS)
    return lake.objects.read(info.path.key)[0], ticks()


def _put_many(lake: Lake, keys: set[str], content: bytes) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: lake.objects.put(key, content), sorted(keys)))
