"""What every command has in common: `--lake`, `--debug`, error messages and exit codes."""

from __future__ import annotations

import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_type_hints

import typer

from vostok.context import Context
from vostok.faults import explained
from vostok_core.errors import Refused

INTERRUPTED = 130

LakeOption = Annotated[
    Path | None,
    typer.Option(
        "--lake",
        metavar="DIR",
        help="The lake, a folder or s3://bucket/prefix, instead of VOSTOK_LAKE or vostok.toml.",
    ),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Add the traceback to an error.")]


@dataclass(frozen=True)
class Globals:
    """Options given before the subcommand."""

    lake: Path | None = None
    debug: bool = False


def command(
    app: typer.Typer, name: str, *, hidden: bool = False
) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Register a function as a command.

    The function's first parameter is the `Context`; the others are typer's. It returns an exit code
    or nothing, and raises `VostokError`. The command gets `--lake` and `--debug` besides.
    """

    def register(function: Callable[..., int | None]) -> Callable[..., int | None]:
        @functools.wraps(function)
        def run(ctx: typer.Context, lake: Path | None, *, debug: bool, **values: object) -> None:
            given = ctx.find_object(Globals) or Globals()
            with reported(debug=debug or given.debug):
                code = function(Context(lake or given.lake), **values)
                if code:
                    raise typer.Exit(code)

        _, *own = inspect.signature(function).parameters.values()
        hints = get_type_hints(function, include_extras=True)
        parameters = [
            _keyword("ctx", typer.Context),
            *(p.replace(annotation=hints[p.name], kind=p.KEYWORD_ONLY) for p in own),
            _keyword("lake", LakeOption, default=None),
            _keyword("debug", DebugOption, default=False),
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name, hidden=hidden)(run)
        return function

    return register


@contextmanager
def reported(*, debug: bool) -> Iterator[None]:
    """Turn an error into one paragraph on stderr and the exit code it stands for."""
    try:
        yield
    except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001  (a bug: say so, and keep the exit code's meaning)
        if debug:
            traceback.print_exception(error, file=sys.stderr)
        told = explained(error)
        kind = "Refused" if isinstance(told, Refused) else "Error"
        typer.echo(" ".join(f"{kind}: {told}".split()), err=True)
        raise typer.Exit(told.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("Interrupted.", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _keyword(
    name: str, annotation: object, default: object = inspect.Parameter.empty
) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, annotation=annotation, default=default)
