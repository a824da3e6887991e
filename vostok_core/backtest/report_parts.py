"""Pieces of a report page: numbers as people read them, cells, tables, places of charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import polars as pl


def plot(charts: list[dict[str, Any]], name: str, label: str, height: str = "") -> str:
    """The place of a chart, or nothing where it was not drawn."""
    if not any(chart["id"] == name for chart in charts):
        return ""
    return (
        f'<div class="card"><div class="chart {height}" id="{name}" role="img" '
        f'aria-label="{escape(label)}"></div></div>'
    )


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, boxed: bool = True, kind: str = ""
) -> str:
    """A table; a heading that starts with # stands over numbers."""
    head = "".join(
        f'<th class="number">{escape(text[1:])}</th>'
        if text.startswith("#")
        else f"<th>{escape(text)}</th>"
        for text in heads
    )
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    box = "card scroll" if boxed else "scroll"
    return (
        f'<div class="{box}"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def cell(text: str, value: float | None = None, *, tone: bool = False) -> str:
    """A cell with a number; the exact value is shown on hovering."""
    exact = "" if value is None else f' title="{escape(repr(value))}"'
    color = tone_class(value) if tone else ""
    inner = f"<span{color}>{escape(text)}</span>" if color else escape(text)
    return f'<td class="number"{exact}>{inner}</td>'


def tone_class(value: float | None) -> str:
    """The class attribute that colours a gain or a loss."""
    if value is None or not math.isfinite(value) or value == 0:
        return ""
    return ' class="gain"' if value > 0 else ' class="loss"'


def plain(value: float | None) -> str:
    """A number to four significant digits; what is near 1 without being it doesn't become 1."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == round(value) and abs(value) < 1e15:
        return f"{value:,.0f}".replace("-", "−")
    if 0.99995 <= value < 1:
        return "> 0.9999"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}" if digits <= 7 else f"{value:.3e}"
    if "." in text and "e" not in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−")


def fixed(value: float, digits: int = 2) -> str:
    """A number to a fixed number of decimals."""
    return f"{value:,.{digits}f}".replace("-", "−") if math.isfinite(value) else "–"


def percent(value: float | None, *, sign: bool = False) -> str:
    """A fraction as a percentage."""
    if value is None or not math.isfinite(value):
        return "–"
    shown = round(value * 100, 2) or 0.0  # what rounds to nothing has no sign
    text = f"{shown:+,.2f} %" if sign and shown else f"{shown:,.2f} %"
    return text.replace("-", "−")


def spoken(name: str) -> str:
    """A name as words."""
    return name.replace("_", " ")


def sparkline(daily: pl.DataFrame) -> str:
    """The path of daily returns as a line without axes."""
    level, levels = 100.0, [100.0]
    for value in daily["net_return"]:
        level *= 1 + (value if value is not None and math.isfinite(value) else 0.0)
        levels.append(level)
    low, high = min(levels), max(levels)
    scale = 56 / (high - low) if high > low else 0.0
    step = 220 / max(1, len(levels) - 1)
    points = " ".join(f"{i * step:.1f},{60 - (v - low) * scale:.1f}" for i, v in enumerate(levels))
    return (
        '<svg class="spark" viewBox="0 0 220 64" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline points="{points}" fill="none" stroke="var(--strategy)" stroke-width="2" '
        'vector-effect="non-scaling-stroke" stroke-linejoin="round"/></svg>'
    )
