"""Two processes that write one model, promote, log one trial or keep news at once take turns."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from datetime import date, timedelta
from pathlib import Path

from vostok_core.lake.locks import sole_writer
from vostok_core.models.registry import promotion

ROOT = Path(__file__).resolve().parents[2]
PLACE = ("alpha", "test.spot.AAA-USD")
FIRST = date(2024, 1, 1)
ROUNDS = 60


def two_at_once(script: str, *arguments: str) -> list[str]:
    """Run a script in two processes, which begin together, and return what each complained of."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), *arguments, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for number in (0, 1)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    return [writer.communicate()[1] for writer in writers]


def test_two_writers_of_one_folder_leave_each_others_files_alone(tmp_path: Path) -> None:
    script = f"""
        import sys
        from pathlib import Path
        from vostok_core.models.folders import install_folder
        folder, mine = Path(sys.argv[1]), sys.argv[2].encode() * 1000
        def check(made):
            assert {{p.name: p.read_bytes() for p in made.iterdir()}} == files
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range({ROUNDS}):
            files = {{name: mine for name in "abc"}}
            install_folder(folder, files, check=check)
    """
    folder = tmp_path / "week" / "bundle"
    assert two_at_once(script, str(folder)) == ["", ""]
    (content,) = {path.read_bytes() for path in folder.iterdir()}
    assert content in (b"0" * 1000, b"1" * 1000)
    assert sorted(p.name for p in folder.parent.iterdir()) == [".bundle.lock", "bundle"]


def test_what_two_readings_of_the_present_day_keep_at_once_all_stays(lake) -> None:
    script = f"""
        import sys
        from pathlib import Path
        from vostok_core.lake.store import Lake
        from vostok_core.sentiment.days import write_news
        from vostok_core.sentiment.items import RawItem, news_batch
        lake, mine, noon = Lake.open(Path(sys.argv[1])), sys.argv[2], 43_200_000_000
        print("ready", flush=True)
        sys.stdin.readline()
        for turn in range({ROUNDS}):
            entry = RawItem(f"{{mine}} {{turn}}", "", "", f"{{mine}} {{turn}}", noon)
            write_news(lake, news_batch([entry], "wire", lag_us=0), [], noon + turn, 0)
    """
    assert two_at_once(script, str(lake.root)) == ["", ""]
    assert lake.read("news", date=date(1970, 1, 1)).height == 2 * ROUNDS


def test_of_two_promotions_at_once_the_later_weeks_stays_in_service(lake) -> None:
    script = f"""
        import sys
        from datetime import date, timedelta
        from pathlib import Path
        from vostok_core.lake.store import Lake
        from vostok_core.models.registry import Promotion, promotion, put_in_service
        lake, mine = Lake.open(Path(sys.argv[1])), int(sys.argv[2])
        place, sha = {PLACE!r}, str(mine) * 64
        print("ready", flush=True)
        sys.stdin.readline()
        for turn in range({ROUNDS}):
            week = str(date({FIRST.year}, 1, 1) + timedelta(weeks=2 * turn + mine))
            put_in_service(lake, Promotion(*place, week, "models/bundles/" + sha, sha), at=turn)
            found = promotion(lake, *place).week
            assert found >= week, f"{{week}} was put in service, and then {{found}}"
    """
    assert two_at_once(script, str(lake.root)) == ["", ""]
    found = promotion(lake, *PLACE)
    assert found is not None
    assert found.week == str(FIRST + timedelta(weeks=2 * ROUNDS - 1))


def test_of_two_paths_logged_at_once_the_one_that_reaches_further_stays(lake) -> None:
    script = f"""
        import sys
        from datetime import date, timedelta
        from pathlib import Path
        import polars as pl
        from vostok_core.lake.store import Lake
        from vostok_core.lake.tables import table
        from vostok_core.promotion.trials import log_trial, trials
        lake, mine = Lake.open(Path(sys.argv[1])), int(sys.argv[2])
        strategy, instrument = {PLACE!r}
        print("ready", flush=True)
        sys.stdin.readline()
        for turn in range({ROUNDS}):
            last = date({FIRST.year}, 1, 1) + timedelta(days=2 * turn + mine)
            row, schema = (last, 0.0, 0.0, 0, 1.0), table("trials").schema
            path = pl.DataFrame([row], schema=schema, orient="row")
            log_trial(lake, strategy, instrument, "c", path, code_version="1")
            logged = trials(lake, instrument)[strategy, "c"]["date"].max()
            assert logged >= last, f"{{last}} was logged, and then {{logged}}"
    """
    assert two_at_once(script, str(lake.root)) == ["", ""]


def test_who_holds_a_lock_may_take_it_again_and_the_next_gets_it_afterwards(tmp_path: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        from vostok_core.lake.locks import sole_writer
        path = Path(sys.argv[1])
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(500):
            with sole_writer(path), sole_writer(path):
                path.mkdir()  # only one can have it
                path.rmdir()
    """
    path = tmp_path / "new" / "thing"
    with sole_writer(path), sole_writer(path):
        pass
    assert two_at_once(script, str(path)) == ["", ""]
