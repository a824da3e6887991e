"""Telling a person what the demo found."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid

from vostok.demo.result import DemoResult, PromotionResult
from vostok_core.project import Project


def tell(console: Console, project: Project, result: DemoResult, seconds: float) -> None:
    """Print the decisions rule by rule, and where to look further."""
    for promotion in result.promotions:
        console.print(_decision(promotion))
    console.print(f"Both by the same gate profile, hash {result.gate_profile_hash}.\n")
    times = ", ".join(f"{name} {value:.1f} s" for name, value in result.stages.items())
    console.print(f"[bold]Done in {seconds:.0f} s[/]: {times}\n")
    lake = _shown(project.lake_root, project)
    elsewhere = project.lake_root != project.root / project.settings.lake.root
    flag, variable = (f" --lake {lake}", f" LAKE={lake}") if elsewhere else ("", "")
    for name, value in (
        ("report", _shown(Path(result.report), project)),
        ("runs", f"make ui{variable}"),
        (
            "query",
            f'.venv/bin/vostok sql "FROM promotions SELECT instrument, rule, value, verdict"{flag}',
        ),
    ):
        console.print(f"  {name:8}{value}", soft_wrap=True, highlight=False)


def _decision(promotion: PromotionResult) -> Grid:
    colour = "green" if promotion.decision == "promoted" else "yellow"
    grid = Grid(
        title=f"{promotion.instrument}, planted edge {promotion.planted:g}: "
        f"[bold {colour}]{promotion.decision}[/]",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    grid.add_column("rule", no_wrap=True)
    grid.add_column("value", justify="right", no_wrap=True)
    grid.add_column("bound", justify="right", no_wrap=True)
    grid.add_column("verdict", no_wrap=True)
    grid.add_column("reason")
    for rule in promotion.rules:
        verdict = "[green]pass[/]" if rule.verdict == "pass" else "[red]fail[/]"
        grid.add_row(rule.name, _figure(rule.value), _figure(rule.bound), verdict, rule.reason)
    return grid


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _shown(path: Path, project: Project) -> str:
    return str(path.relative_to(project.root)) if path.is_relative_to(project.root) else str(path)
