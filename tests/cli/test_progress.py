"""Progress where nobody watches a terminal."""

from __future__ import annotations

import io
import time

from rich.console import Console

from vostok.progress import showing


def test_what_goes_into_a_file_has_a_line_for_every_change_and_no_control_characters() -> None:
    out = io.StringIO()
    with showing(Console(file=out, width=80), every=0.05) as progress:
        task = progress.add_task("history", total=4)
        for _ in range(4):
            time.sleep(0.1)
            progress.advance(task)
    lines = out.getvalue().splitlines()
    assert lines[-1].startswith("history  100 %")
    shares = [line.rsplit("  ", 1)[0] for line in lines]
    assert len(shares) == len(set(shares)) >= 3
    assert "\x1b" not in out.getvalue()


def test_a_terminal_shows_bars() -> None:
    out = io.StringIO()
    with showing(Console(file=out, width=80, force_terminal=True)) as progress:
        progress.update(progress.add_task("history", total=1), completed=1)
    assert "━" in out.getvalue()
    assert "100%" in out.getvalue()
