"""Dagster's web page and daemon on a lake, under wardens that end them with this process."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

import typer

from vostok_core.errors import UsageError, VostokError
from vostok_core.project import Project

HOST = "127.0.0.1"
_POLL = 0.2


def serve(project: Project, port: int) -> int:
    """Run both until one ends or this process is told to stop.

    Raises:
        UsageError: The port is taken, the lake is served already, or the project has no
            `workspace.yaml`.
        VostokError: One of them ended by itself.
    """
    from vostok_pipelines.launch import Launcher, environment, prepare_instance
    from vostok_pipelines.leases import serving

    workspace = project.root / "workspace.yaml"
    if not workspace.is_file():
        raise UsageError("there is no workspace.yaml", where=project.root, hint="restore it")
    _check_free(port)
    Launcher(project).check()  # what is wrong with a file is said here in one line
    project.open_lake()
    shared = ["-w", str(workspace)]
    commands = {
        "webserver": ["-m", "dagster_webserver", *shared, "-h", HOST, "-p", str(port)],
        "daemon": ["-m", "dagster._daemon", "run", *shared],
    }
    with (
        _stopping() as stop,
        serving(prepare_instance(project)) as lock,
        # No daemon launches runs but the one below: what one before it left has nobody.
        _running(commands, environment(project, launching=False), lock) as processes,
    ):
        typer.echo(f"Lake {project.lake_root}. Open http://{HOST}:{port} (Ctrl-C stops it).")
        while not stop:
            for name, process in processes.items():
                if process.poll() is not None:
                    raise VostokError(
                        f"the Dagster {name} ended by itself with code {process.returncode}",
                        hint="its last lines above say why; `vostok doctor` looks for causes",
                    )
            time.sleep(_POLL)
    return 0


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            raise UsageError(
                f"port {port} is reserved for the system", hint="choose one above 1023 with --port"
            ) from None
        except OSError:
            raise UsageError(
                f"port {port} is taken",
                hint="`vostok ui` may run already; else choose another with --port",
            ) from None


@contextmanager
def _stopping() -> Iterator[list[int]]:
    """A list that holds the signal once one has come: Ctrl-C, SIGTERM, or a closed terminal."""
    seen: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        seen.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _running(
    commands: Mapping[str, Sequence[str]], environ: dict[str, str], lock: int
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Each under a warden, which ends it when its standard input is closed.

    The wardens inherit the lock: nothing that they run outlives them.
    """
    wardens: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, arguments in commands.items():
            wardens[name] = subprocess.Popen(  # noqa: S603  (our own arguments)
                [sys.executable, "-m", "vostok.warden", sys.executable, *arguments],
                env=environ,
                stdin=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for this process alone
                pass_fds=[lock],
            )
        yield wardens
    finally:
        for warden in wardens.values():
            assert warden.stdin is not None
            warden.stdin.close()
        for warden in wardens.values():
            warden.wait()
