"""Looking after an installation."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Annotated

import typer

from vostok.cli.command import command
from vostok.cli.output import print_json, print_table
from vostok.context import Context


def register(app: typer.Typer) -> None:
    """Add `doctor` and the hidden `warm`."""
    command(app, "doctor")(doctor)
    command(app, "warm", hidden=True)(warm)


def doctor(
    context: Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> int | None:
    """Look for what would make a command fail.

    Looks at Python and the pinned packages, the cache of compiled kernels, the clock, vostok.toml
    and the strategies, the lake and its disk, files that killed writers left, and Dagster.

    \b
    Examples:
      vostok doctor
      vostok doctor --lake /data/lake --json

    Changes nothing. Exits with 1 when something fails; a warning is no failure.
    """
    from vostok.doctor import diagnose

    findings = list(diagnose(context))
    if as_json:
        print_json(
            [
                {"name": f.name, "status": f.status, "detail": f.detail, "hint": f.hint}
                for f in findings
            ]
        )
    else:
        print_table(
            ["check", "status", "found", "hint"],
            [[f.name, f.status, f.detail, f.hint] for f in findings],
        )
    return 1 if any(f.status == "fail" for f in findings) else None


def warm(_context: Context) -> None:
    """Compile every kernel, so that the first command doesn't have to.

    `make setup` ends with it.
    """
    import vostok_core

    for module in pkgutil.walk_packages(vostok_core.__path__, "vostok_core."):
        importlib.import_module(module.name)
