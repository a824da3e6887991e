"""What every command of `vostok-live` has in common: options, the project, how errors are told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vostok_core.errors import Refused, VostokError

if TYPE_CHECKING:
    from vostok_core.project import Project

_INTERRUPTED = 130

LakeOption = Annotated[
    Path | None,
    typer.Option(
        "--lake",
        metavar="DIR",
        help="The lake, a folder or s3://bucket/prefix, instead of VOSTOK_LAKE or vostok.toml.",
    ),
]
ExchangeOption = Annotated[
    str | None,
    typer.Option(
        "--exchange",
        metavar="NAME",
        help="binance, testnet, or the address of an embedded exchange; by default the one that "
        "runs on the lake.",
    ),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Add the traceback to an error.")]


def find(lake: Path | None) -> Project:
    """The project of the working folder."""
    from vostok_core.project import find_project

    return find_project(Path.cwd(), os.environ, lake)


@contextmanager
def reported(*, debug: bool) -> Iterator[None]:
    """Turn an error into one paragraph on stderr and the exit code it stands for."""
    try:
        yield
    except VostokError as error:
        if debug:
            raise
        kind = "Refused" if isinstance(error, Refused) else "Error"
        typer.echo(" ".join(f"{kind}: {error}".split()), err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("Interrupted.", err=True)
        raise typer.Exit(_INTERRUPTED) from None
