"""Telling a person what the demo found."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid

from vostok.demo import world
from vostok.demo.result import DemoResult, PromotionResult
from vostok_core.project import Project

_OWN_UNIT = "of the feature"
_KINDS = {"runs": "settings of runs", "heard": "bars told to the engine"}


def tell(console: Console, project: Project, result: DemoResult, seconds: float) -> None:
    """Print the decisions rule by rule, and where to look further."""
    for promotion in result.promotions:
        console.print(_decision(promotion))
    console.print(f"Both by the same gate profile, hash {result.gate_profile_hash}.\n")
    if result.live is not None:
        _tell_live(console, project, result)
    times = ", ".join(f"{name} {value:.1f} s" for name, value in result.stages.items())
    console.print(f"[bold]Done in {seconds:.0f} s[/]: {times}\n")
    lake = _shown(project.lake_root, project)
    elsewhere = project.lake_root != project.root / project.settings.lake.root
    flag, variable = (f" --lake {lake}", f" LAKE={lake}") if elsewhere else ("", "")
    for name, value in (
        ("report", _shown(Path(result.report), project)),
        ("runs", f"make ui{variable}"),
        ("live", "docs/live.md says how to go on trading from here"),
        (
            "query",
            f'.venv/bin/vostok sql "FROM promotions SELECT instrument, rule, value, verdict"{flag}',
        ),
    ):
        console.print(f"  {name:8}{value}", soft_wrap=True, highlight=False)


def _tell_live(console: Console, project: Project, result: DemoResult) -> None:
    """What the promoted model did at the exchange, and what can be proved of it."""
    live, parity, honest = result.live, result.parity, result.reconciliation
    assert live is not None
    assert parity is not None
    assert honest is not None
    latency = project.strategy(world.STRATEGY).latency_us / 1e6 * live.speed
    exits = ", ".join(f"{count} by {reason}" for reason, count in sorted(live.exits.items()))
    same = "[green]the same[/]" if live.reconciled else "[red]NOT the same[/]"
    console.print(
        f"[bold]Traded on paper[/], {live.market_from} to {live.market_to}, {live.speed:g} times "
        f"as fast as the wall: {live.round_trips} round trips ({exits}), equity "
        f"{live.equity_from:,.0f} to {live.equity_to:,.0f} USDT. A day is luck more than edge.\n"
        f"Killed with SIGKILL while it held {live.killed_holding:g}, and started again. Journal "
        f"and exchange say {same}: {live.audit['orders']} orders, {live.audit['fills']} fills, "
        f"{len(live.audit['lost'])} lost, {len(live.audit['doubled'])} doubled, "
        f"{len(live.audit['invented'])} invented; position {live.audit['position']}.\n"
    )
    colour, word = ("green", "every bit equal") if parity.equal else ("red", "NOT EQUAL")
    grid = Grid(
        title=f"The day computed again by the pipeline: [bold {colour}]{word}[/]",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    grid.add_column("values of")
    grid.add_column("compared", justify="right")
    grid.add_column("equal", justify="right")
    for kind, (compared, equal) in parity.kinds.items():
        grid.add_row(_KINDS.get(kind, kind), f"{compared:,}", f"{equal:,}")
    console.print(grid)
    console.print(
        "From the same trades and news the daemon and the pipeline make the same bits. The archive "
        "has a record of its own of that day, and simulated fills have a latency, which at this "
        f"speed is {latency:.0f} s of the market: what comes of that is classified.\n"
    )
    grid = Grid(
        title="What differs from the archive and from simulated fills",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    grid.add_column("kind")
    grid.add_column("count", justify="right")
    grid.add_column("mean", justify="right")
    for kind, found in honest.findings.items():
        grid.add_row(kind, f"{found['count']:,}", _mean(found["mean"], found["unit"]))
    console.print(grid)


def _mean(mean: float | None, unit: str) -> str:
    """A mean; none of features, which have units of their own."""
    if mean is None or unit == _OWN_UNIT:
        return "–"
    if unit == "ms" and abs(mean) >= 1_000:
        mean, unit = mean / 1_000, "s"
    return f"{mean:,.4g} {unit}"


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
