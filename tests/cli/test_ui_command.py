"""`vostok ui` serves the lake's instance, and leaves nothing running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import pytest

from vostok import warden
from vostok.ui import HOST

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 120.0
TraceFunction = Callable[[FrameType, str, Any], Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def test_port_that_is_taken_is_wrong_usage(folder: Path, vostok) -> None:
    shutil.copy(ROOT / "workspace.yaml", folder)
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        result = vostok("ui", "--port", port)
    assert result.exit_code == 2
    assert f"port {port} is taken" in result.stderr


# A warden's program, which starts another one; both would sleep for an hour.
PROGRAM = """
import subprocess, sys, time
below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
print(below.pid, flush=True)
time.sleep(3600)
"""
HOLDER = """
import subprocess, sys
warden = [sys.executable, "-m", "vostok.warden", sys.executable, "-c", sys.argv[1]]
subprocess.Popen(warden, stdin=subprocess.PIPE, start_new_session=True).wait()
"""


@contextmanager
def running(*arguments: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own, which is killed with all below it if the test fails."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        below: list[psutil.Process] = []
        if process.poll() is None:
            below = psutil.Process(process.pid).children(recursive=True)
            process.kill()
        for child in below:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.communicate()


def test_what_a_warden_runs_ends_with_the_holder_of_its_pipe_however_that_ends(
    tmp_path: Path,
) -> None:
    with running("-c", HOLDER, PROGRAM, folder=tmp_path) as holder:
        assert holder.stdout is not None
        started = int(holder.stdout.readline())
        family = psutil.Process(holder.pid).children(recursive=True)
        assert len(family) == 3
        assert started in [process.pid for process in family]
        holder.kill()
        holder.wait()
        _, alive = psutil.wait_procs(family, timeout=30)
        for process in alive:
            process.kill()
    assert alive == []


def test_warden_kills_what_does_not_end_when_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warden, "PATIENCE", 0.1)
    told = tmp_path / "told"
    os.mkfifo(told)
    code = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"open({str(told)!r}).read(); signal.pause()"
    )
    read, write = os.pipe()

    def close_once_it_ignores() -> None:
        told.write_text("go on")  # returns once the program has opened it
        os.close(write)

    closing = threading.Thread(target=close_once_it_ignores)
    with os.fdopen(read) as ended:
        monkeypatch.setattr(sys, "stdin", ended)
        closing.start()
        before = signal.getsignal(signal.SIGTERM)
        try:
            assert warden.main([sys.executable, "-c", code]) == -signal.SIGKILL
        finally:
            signal.signal(signal.SIGTERM, before)
            closing.join()


def test_a_warden_that_is_told_to_end_as_its_program_starts_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[int] = []

    def main_goes_on(frame: FrameType, event: str, _argument: object) -> TraceFunction:
        if event == "line" and "child" in frame.f_locals and not started:
            started.append(frame.f_locals["child"].pid)
            os.kill(os.getpid(), signal.SIGTERM)
        return main_goes_on

    def a_call(frame: FrameType, _event: str, _argument: object) -> TraceFunction | None:
        return main_goes_on if frame.f_code is warden.main.__code__ else None

    read, write = os.pipe()
    handler, tracer = signal.getsignal(signal.SIGTERM), sys.gettrace()
    with os.fdopen(read) as held, os.fdopen(write, "w"):
        monkeypatch.setattr(sys, "stdin", held)
        sys.settrace(a_call)
        try:
            code = warden.main([sys.executable, "-c", "import time; time.sleep(3600)"])
        except SystemExit:
            code = None
        finally:
            sys.settrace(tracer)
            signal.signal(signal.SIGTERM, handler)
    [pid] = started
    left = psutil.pid_exists(pid)
    if left:
        os.kill(pid, signal.SIGKILL)
    assert (code, left) == (0, False)


def test_warden_has_the_code_of_its_program(tmp_path: Path) -> None:
    with running("-m", "vostok.warden", sys.executable, "-c", "exit(7)", folder=tmp_path) as child:
        assert child.wait(30) == 7


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_page_shows_the_assets_and_ends_with_all_its_children(folder: Path, number: int) -> None:
    shutil.copy(ROOT / "workspace.yaml", folder)
    port = free_port()
    with running("-m", "vostok", "ui", "--port", str(port), folder=folder) as process:
        nodes = wait_for_assets(process, port)
        children = psutil.Process(process.pid).children(recursive=True)
        # Two wardens, the web page, the daemon, and what those have started.
        assert len(children) > 4
        process.send_signal(number)
        assert process.wait(60) == (-number if number == signal.SIGKILL else 0)
        _, alive = psutil.wait_procs(children, timeout=60)
        for child in alive:
            child.kill()
    assert alive == []
    assert {"bars", "features/core"} <= nodes
    assert (folder / "data_lake" / ".dagster" / "dagster.yaml").is_file()


def wait_for_assets(process: subprocess.Popen[str], port: int) -> set[str]:
    """The assets that the page shows, as soon as it shows any."""
    body = json.dumps({"query": "{ assetNodes { assetKey { path } } }"}).encode()
    request = urllib.request.Request(
        f"http://{HOST}:{port}/graphql", body, {"Content-Type": "application/json"}
    )
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        assert process.poll() is None
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                nodes = json.load(answer)["data"]["assetNodes"]
        except OSError:
            nodes = []
        if nodes:
            return {"/".join(node["assetKey"]["path"]) for node in nodes}
        time.sleep(0.5)
    pytest.fail("the page showed no asset in time")
