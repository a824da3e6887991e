"""One file over a bad way: it comes whole and verified, or the folder has nothing of it."""

from __future__ import annotations

import asyncio
import hashlib
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fetching.archive_server import (
    ArchiveServer,
    content,
    cut,
    page,
    stall,
    status,
    trickle,
    zipped,
)
from vostok_core.errors import FetchError
from vostok_pipelines.fetching.download import Outcome, download
from vostok_pipelines.fetching.polite import Asker, Pace, retry_after

NAME = "data/spot/daily/aggTrades/XRPETH/XRPETH-aggTrades-2025-01-06.zip"
QUICK = Pace(pause=0.01, longest_pause=0.05, spacing=0.0, silence=5.0, tries=4)
NOISE = random.Random(5).randbytes(300_000)
FILE = zipped("1,2,3\n") + NOISE


def bring(server: ArchiveServer, folder: Path, pace: Pace = QUICK, name: str = NAME) -> Outcome:
    """Download one file as a process would that has just begun."""

    async def run() -> Outcome:
        async with Asker(pace) as asker:
            return await download(asker, f"{server.url}/{name}", folder / name, lambda _: None)

    return asyncio.run(asyncio.wait_for(run(), 60))


def files(folder: Path) -> set[str]:
    """The names of what readers of the folder see."""
    return {p.name for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")}


def parts(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.is_file()]


def assert_whole(folder: Path, expected: bytes = FILE) -> None:
    path = folder / NAME
    assert path.read_bytes() == expected
    checksum = path.with_name(f"{path.name}.CHECKSUM").read_text()
    assert checksum == f"{hashlib.sha256(expected).hexdigest()}  {path.name}\n"
    assert parts(folder) == []


def test_a_file_comes_with_its_checksum_and_again_only_the_checksum_is_asked_for(
    server: ArchiveServer, tmp_path: Path
) -> None:
    server.put(NAME, FILE)
    assert bring(server, tmp_path) == Outcome(there=True, fetched=True)
    assert_whole(tmp_path)
    before = len(server.requests)
    assert bring(server, tmp_path) == Outcome(there=True)
    assert [path for path, _ in server.requests[before:]] == [f"{NAME}.CHECKSUM"]


def test_a_file_that_the_server_does_not_have_leaves_nothing(
    server: ArchiveServer, tmp_path: Path
) -> None:
    assert bring(server, tmp_path) == Outcome(there=False)
    assert len(server.requests) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_corrected_file_takes_the_place_of_the_one_before(
    server: ArchiveServer, tmp_path: Path
) -> None:
    server.put(NAME, FILE)
    bring(server, tmp_path)
    corrected = FILE + b"more"
    server.put(NAME, corrected)
    assert bring(server, tmp_path).fetched
    assert_whole(tmp_path, corrected)


def test_a_connection_that_breaks_is_gone_on_with(server: ArchiveServer, tmp_path: Path) -> None:
    server.put(NAME, FILE)
    server.faults[NAME] = [cut(server, 100_000), cut(server, 70_000)]
    assert bring(server, tmp_path).fetched
    assert_whole(tmp_path)
    asked = server.asked(NAME)
    assert [headers.get("Range") for headers in asked] == [
        None,
        "bytes=100000-",
        "bytes=170000-",
    ]
    assert asked[1]["If-Range"] == server.headers(FILE)["ETag"]
    assert server.sent < len(FILE) + 1_000


def test_a_connection_that_breaks_again_and_again_is_no_reason_to_give_up_while_bytes_come(
    server: ArchiveServer, tmp_path: Path
) -> None:
    server.put(NAME, FILE)
    server.faults[NAME] = [cut(server, 20_000) for _ in range(12)]  # tries are four
    assert bring(server, tmp_path).fetched
    assert_whole(tmp_path)


def test_a_file_that_changed_meanwhile_is_begun_anew(server: ArchiveServer, tmp_path: Path) -> None:
    server.put(NAME, FILE)
    server.faults[NAME] = [cut(server, 100_000), *[status(503)] * 3]
    with pytest.raises(FetchError):
        bring(server, tmp_path)
    other = FILE[::-1].replace(b"<", b">")
    server.put(NAME, other)
    assert bring(server, tmp_path).fetched
    assert server.asked(NAME)[-1]["Range"] == "bytes=100000-"  # for the version that there was
    assert_whole(tmp_path, other)


@pytest.mark.parametrize("deaf", ["ranges", "tags"])
def test_a_server_without_ranges_or_tags_is_asked_for_all_of_it_again(
    server: ArchiveServer, tmp_path: Path, deaf: str
) -> None:
    setattr(server, deaf, False)
    server.put(NAME, FILE)
    server.faults[NAME] = [cut(server, 100_000)]
    assert bring(server, tmp_path).fetched
    assert_whole(tmp_path)


def test_a_server_without_ranges_that_always_breaks_off_is_given_up(
    server: ArchiveServer, tmp_path: Path
) -> None:
    server.ranges = False
    server.put(NAME, FILE)
    server.faults[NAME] = [cut(server, 100_000) for _ in range(50)]
    with pytest.raises(FetchError, match="broke off, 4 times in a row"):
        bring(server, tmp_path)
    assert len(server.asked(NAME)) <= 6
    assert files(tmp_path) == set()


def test_a_part_that_is_the_whole_file_is_not_fetched_again(
    server: ArchiveServer, tmp_path: Path
) -> None:
    server.put(NAME, FILE)
    server.faults[NAME] = [cut(server, len(FILE))]
    server.faults[f"{NAME}.CHECKSUM"] = [status(500)] * 4
    with pytest.raises(FetchError):  # killed, as it were, before the checksum came
        bring(server, tmp_path)
    sent = server.sent
    assert bring(server, tmp_path).fetched
    assert server.sent - sent < 1_000
    assert_whole(tmp_path)


def test_a_part_that_was_spoilt_on_disk_is_thrown_away(
    server: ArchiveServer, tmp_path: Path
) -> None:
    """As after a power cut, when the size of a file is there and its bytes are not."""
    server.put(NAME, FILE)
    server.faults[NAME] = [cut(server, 100_000), *[status(503)] * 3]
    with pytest.raises(FetchError):
        bring(server, tmp_path)
    (part,) = [path for path in parts(tmp_path) if path.suffix == ".part"]
    part.write_bytes(bytes(100_000))
    assert bring(server, tmp_path).fetched
    assert_whole(tmp_path)


@pytest.mark.parametrize("about", ["", "{", '{"url": "elsewhere", "version": "x"}', "[]"])
def test_a_part_of_which_it_is_not_known_what_it_is_of_is_begun_anew(
    server: ArchiveServer, tmp_path: Path, about: str
) -> None:
    server.put(NAME, FILE)
    server.faults[NAME] = [cut(server, 100_000), *[status(503)] * 3]
    with pytest.raises(FetchError):
        bring(server, tmp_path)
    (told,) = [path for path in parts(tmp_path) if path.suffix == ".json"]
    told.write_text(about)
    assert bring(server, tmp_path).fetched
    assert "Range" not in server.asked(NAME)[-1]
    assert_whole(tmp_path)


@pytest.mark.parametrize("wrong", ["shorter", "another range"])
def test_an_answer_that_does_not_go_on_where_it_broke_off_is_not_appended(
    server: ArchiveServer, tmp_path: Path, wrong: str
) -> None:
    server.put(NAME, FILE)
    server.faults[NAME] = [cut(server, 100_000)]
    if wrong == "shorter":
        server.faults[NAME].append(status(416, Content_Range="bytes */5"))
    else:
        server.faults[NAME].append(status(206, Content_Range="bytes 0-10/300"))
    assert bring(server, tmp_path).fetched
    assert_whole(tmp_path)


def test_a_server_that_fails_is_asked_again_after_pauses(
    server: ArchiveServer, tmp_path: Path
) -> None:
    server.put(NAME, FILE)
    server.faults[NAME] = [status(500), status(502), status(503)]
    assert bring(server, tmp_path).fetched
    assert_whole(tmp_path)
    server.faults["*"] = [status(500) for _ in range(20)]
    with pytest.raises(
        FetchError, match=r"500 Internal Server Error\), 4 times in a row"
    ) as caught:
        bring(server, tmp_path / "other")
    assert str(caught.value.where).endswith(NAME)
    assert files(tmp_path / "other") == set()


@pytest.mark.parametrize("code", [429, 418])
def test_nobody_asks_before_the_server_wants_to_be_asked(
    server: ArchiveServer, tmp_path: Path, code: int
) -> None:
    names = [f"{NAME}.{k}" for k in range(6)]
    for name in names:
        server.put(name, FILE)
    server.faults["*"] = [status(code, Retry_After="2")]
    began = time.monotonic()

    async def run() -> None:
        async with Asker(QUICK) as asker:
            await asyncio.gather(
                *(
                    download(asker, f"{server.url}/{name}", tmp_path / name, lambda _: None)
                    for name in names
                )
            )

    asyncio.run(run())
    assert time.monotonic() - began > 2.0
    # Those that were under way with the refused one were asked already; nobody after it.
    after = [at - server.times[0] for at in server.times]
    assert not [at for at in after if 1.0 < at < 1.9]
    assert max(after) > 1.9
    assert all((tmp_path / name).read_bytes() == FILE for name in names)


def test_a_ban_for_hours_ends_everything_at_once(server: ArchiveServer, tmp_path: Path) -> None:
    server.put(NAME, FILE)
    server.faults["*"] = [status(418, Retry_After="86400")]

    async def run() -> list[BaseException | Outcome]:
        async with Asker(QUICK) as asker:
            asked = [
                download(asker, f"{server.url}/{NAME}", tmp_path / str(k), lambda _: None)
                for k in range(20)
            ]
            return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(run())
    told = [each for each in found if isinstance(each, FetchError)]
    assert len(told) >= 20 - QUICK.jobs
    assert "left alone for 86400 s (418)" in str(told[0])
    assert "--jobs" in str(told[0].hint)
    assert len(server.requests) <= 3 * QUICK.jobs


def test_when_to_come_back_is_told_in_seconds_or_as_a_date() -> None:
    now = datetime(2025, 1, 6, 12, tzinfo=UTC)
    assert retry_after("120") == 120.0
    assert retry_after("Mon, 06 Jan 2025 12:01:30 GMT", now) == 90.0
    assert retry_after("Mon, 06 Jan 2025 11:00:00 GMT", now) == 0.0
    for nothing in ("", "soon", "-5", "١٢"):
        assert retry_after(nothing) is None


def test_a_wrong_checksum_is_fetched_again_once_and_then_told(
    server: ArchiveServer, tmp_path: Path
) -> None:
    server.put(NAME, FILE)
    server.faults[NAME] = [content(FILE[:-1] + b"?")]
    assert bring(server, tmp_path).fetched
    assert_whole(tmp_path)

    wrong = "ab" * 32
    server.put(NAME, FILE, checksum=wrong)
    with pytest.raises(FetchError, match=r"came twice, and its SHA-256 is .* and not abababab"):
        bring(server, tmp_path / "other")
    assert len(server.asked(NAME)) == 4
    assert [path for path in (tmp_path / "other").rglob("*") if path.is_file()] == []


def test_a_file_that_is_wrong_leaves_the_one_that_is_there(
    server: ArchiveServer, tmp_path: Path
) -> None:
    server.put(NAME, FILE)
    bring(server, tmp_path)
    server.put(NAME, FILE + b"x", checksum="cd" * 32)
    with pytest.raises(FetchError, match="came twice"):
        bring(server, tmp_path)
    assert_whole(tmp_path)


def test_without_a_checksum_a_zip_must_at_least_be_whole(
    server: ArchiveServer, tmp_path: Path
) -> None:
    whole = zipped("1,2,3\n" * 10_000)
    server.put(NAME, whole, checksum=None)
    assert bring(server, tmp_path) == Outcome(there=True, fetched=True, verified=False)
    assert (tmp_path / NAME).read_bytes() == whole
    assert bring(server, tmp_path) == Outcome(there=True, verified=False)
    middle = len(whole) // 2
    for broken in (whole[:-40], whole[:middle] + b"\0\0\0\0" + whole[middle + 4 :]):
        server.put(NAME, broken, checksum=None)
        with pytest.raises(FetchError, match=r"no whole zip|is damaged"):
            bring(server, tmp_path / "other")
        assert files(tmp_path / "other") == set()


@pytest.mark.parametrize("kind", ["text/html", "application/zip"])
def test_a_web_page_with_status_200_is_no_file(
    server: ArchiveServer, tmp_path: Path, kind: str
) -> None:
    server.put(NAME, FILE)
    server.faults[NAME] = [page(kind)]
    assert bring(server, tmp_path).fetched
    assert_whole(tmp_path)
    server.faults[NAME] = [page(kind) for _ in range(20)]
    with pytest.raises(FetchError, match="web page"):
        bring(server, tmp_path / "other")
    assert files(tmp_path / "other") == set()


def test_a_web_page_instead_of_a_checksum_is_none(server: ArchiveServer, tmp_path: Path) -> None:
    server.put(NAME, FILE)
    server.faults[f"{NAME}.CHECKSUM"] = [page()]
    assert bring(server, tmp_path).fetched
    assert_whole(tmp_path)
    server.faults[f"{NAME}.CHECKSUM"] = [page() for _ in range(20)]
    with pytest.raises(FetchError, match="a web page instead of a checksum, 4 times"):
        bring(server, tmp_path / "other")
    assert files(tmp_path / "other") == set()


def test_a_refusal_is_told_at_once(server: ArchiveServer, tmp_path: Path) -> None:
    server.faults[NAME] = [status(403) for _ in range(9)]
    with pytest.raises(FetchError, match="refuses it: 403"):
        bring(server, tmp_path)
    assert len(server.requests) == 1


def test_a_slow_server_is_waited_for_and_a_silent_one_is_not(
    server: ArchiveServer, tmp_path: Path
) -> None:
    server.put(NAME, FILE)
    patience = Pace(pause=0.01, spacing=0.0, silence=0.4, tries=3)
    server.faults[NAME] = [trickle(server, 20_000, 0.05)]  # takes longer than a silence may
    assert bring(server, tmp_path, patience).fetched
    assert len(server.asked(NAME)) == 1
    server.faults[NAME] = [stall(server, 100_000, 5.0)]
    assert bring(server, tmp_path / "other", patience).fetched
    assert server.asked(NAME)[-1]["Range"] == "bytes=100000-"
    assert_whole(tmp_path / "other")


def test_a_server_that_is_not_there_is_told_with_its_address(tmp_path: Path) -> None:
    with ArchiveServer() as gone:
        pass
    with pytest.raises(FetchError, match=r"no connection could be made .*4 times in a row"):
        bring(gone, tmp_path)


def test_questions_are_spaced_out(server: ArchiveServer, tmp_path: Path) -> None:
    names = [f"{NAME}.{k}" for k in range(5)]

    async def run() -> None:
        async with Asker(Pace(jobs=5, spacing=0.1)) as asker:
            await asyncio.gather(
                *(
                    download(asker, f"{server.url}/{name}", tmp_path / name, lambda _: None)
                    for name in names
                )
            )

    began = time.monotonic()
    asyncio.run(run())
    assert len(server.times) == 5
    for number, at in enumerate(server.times):  # none can have left before its time
        assert at - began > 0.1 * number - 0.01


CHILD = """
import asyncio, sys
from pathlib import Path
from vostok_pipelines.fetching.download import download
from vostok_pipelines.fetching.polite import Asker, Pace

async def run(url, path):
    async with Asker(Pace(pause=0.01, spacing=0.0)) as asker:
        print("at work", flush=True)
        outcome = await download(asker, url, Path(path), lambda _: None)
        print(outcome.fetched, flush=True)

asyncio.run(run(*sys.argv[1:]))
"""


def child(server: ArchiveServer, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, f"{server.url}/{NAME}", str(folder / NAME)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_download_that_was_killed_goes_on_where_it_was(
    server: ArchiveServer, tmp_path: Path
) -> None:
    server.put(NAME, FILE)
    server.faults[NAME] = [trickle(server, 3_000, 0.01) for _ in range(5)]
    moments = random.Random(3)
    for _ in range(4):
        killed = child(server, tmp_path)
        assert killed.stdout is not None
        with killed.stdout:
            assert killed.stdout.readline() == "at work\n"
            time.sleep(moments.uniform(0.05, 0.3))
            killed.kill()
            killed.wait()
        assert files(tmp_path) == set()
    asked = len(server.asked(NAME))
    last = child(server, tmp_path)
    assert last.communicate(timeout=60)[0] == "at work\nTrue\n"
    begun = int(server.asked(NAME)[asked]["Range"].removeprefix("bytes=").rstrip("-"))
    assert begun > 3_000
    assert_whole(tmp_path)


def test_two_processes_that_want_one_file_fetch_it_once(
    server: ArchiveServer, tmp_path: Path
) -> None:
    server.put(NAME, FILE)
    server.faults[NAME] = [trickle(server, 10_000, 0.03)]
    children = [child(server, tmp_path) for _ in range(2)]
    told = sorted(each.communicate(timeout=60)[0].split("\n")[1] for each in children)
    assert told == ["False", "True"]
    assert len(server.asked(NAME)) == 1
    assert_whole(tmp_path)
