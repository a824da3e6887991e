"""The frame of every report page: one file that loads nothing.

Style and script stand here as text. A content security policy forbids the page any request, so a
report opened years later, or by a stranger, shows what it showed when it was written.
"""

from __future__ import annotations

from html import escape

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f7f6f3; --card: #ffffff; --ink: #1b1d21; --muted: #5b616b; --line: #e4e2dc;
  --strategy: #1d5fc2; --holding: #a8690c; --cash: #868c95;
  --gain: #1b7a4b; --loss: #b3261e; --gain-soft: #e4f3ea; --loss-soft: #fbe7e5;
  --loss-fill: rgba(179, 38, 30, 0.16); --quiet: #eceae4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1114; --card: #171a1f; --ink: #e9eaec; --muted: #9ba2ac; --line: #2a2f37;
    --strategy: #74abff; --holding: #e2ab4f; --cash: #7f8791;
    --gain: #52c78f; --loss: #ff8379; --gain-soft: #14291f; --loss-soft: #311a19;
    --loss-fill: rgba(255, 131, 121, 0.18); --quiet: #22262d;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 72px; }
header p { margin: 0; color: var(--muted); overflow-wrap: anywhere; }
.brand { font-size: 13px; letter-spacing: 0.14em; text-transform: uppercase; }
h1 { margin: 6px 0 4px; font-size: 34px; line-height: 1.2; letter-spacing: -0.015em;
  font-weight: 650; overflow-wrap: anywhere; }
h2 { margin: 48px 0 4px; font-size: 21px; letter-spacing: -0.005em; font-weight: 620; }
h2 + p { margin: 0 0 14px; color: var(--muted); max-width: 84ch; }
h2 + .card, .card + .card.scroll { margin-top: 12px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.verdict { margin: 28px 0 20px; padding: 20px 24px; border-left-width: 6px; }
.verdict.pass { border-left-color: var(--gain); }
.verdict.fail { border-left-color: var(--loss); }
.verdict.none { border-left-color: var(--cash); }
.verdict strong { display: flex; align-items: center; gap: 10px; font-size: 22px; }
.verdict p, .verdict ul { margin: 8px 0 0; max-width: 88ch; }
.verdict ul { padding-left: 20px; }
.verdict li { margin: 3px 0; }
.tiles { display: grid; gap: 12px; grid-template-columns: repeat(4, minmax(0, 1fr)); }
.tile { padding: 14px 16px 13px; }
.tile dt { color: var(--muted); font-size: 13px; }
.tile dd { margin: 2px 0 0; font-size: 25px; font-weight: 620; letter-spacing: -0.01em; }
.tile dd small { display: block; margin-top: 1px; color: var(--muted); font-size: 12.5px;
  font-weight: 400; letter-spacing: 0; }
.gain { color: var(--gain); } .loss { color: var(--loss); }
.chart { height: 360px; padding: 10px 8px 4px; }
.chart.low { height: 240px; } .chart.short { height: 210px; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 14.5px; }
th, td { padding: 9px 14px; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
tbody tr:last-child td, tbody tr:last-child th { border-bottom: 0; }
thead th { color: var(--muted); font-size: 12.5px; font-weight: 500; white-space: nowrap; }
tbody th { font-weight: 500; white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
.nowrap { white-space: nowrap; }
td.reason, td.meaning { color: var(--muted); min-width: 260px; }
td.unit { color: var(--muted); white-space: nowrap; }
.badge { display: inline-flex; align-items: center; gap: 6px; padding: 2px 10px 2px 7px;
  border-radius: 99px; font-size: 13px; font-weight: 600; white-space: nowrap; }
.badge.pass { background: var(--gain-soft); color: var(--gain); }
.badge.fail { background: var(--loss-soft); color: var(--loss); }
.badge.none { background: var(--quiet); color: var(--muted); }
svg.mark { flex: none; width: 1em; height: 1em; }
details { margin-top: 12px; }
summary { padding: 12px 16px; cursor: pointer; font-weight: 550; }
details pre { margin: 0; padding: 4px 16px 16px; overflow-x: auto; font: 12.5px/1.6 ui-monospace,
  "SF Mono", SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
code { font: 0.92em ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace;
  overflow-wrap: anywhere; }
.listing { display: grid; gap: 14px; margin-top: 28px; }
.listing a { display: grid; grid-template-columns: minmax(0, 1fr) 220px; gap: 20px;
  align-items: center; padding: 18px 22px; color: inherit; text-decoration: none; }
.listing a:hover, .listing a:focus-visible { border-color: var(--strategy); }
.listing h2 { margin: 0 0 6px; overflow-wrap: anywhere; }
.listing p { margin: 8px 0 0; color: var(--muted); }
.listing svg.spark { width: 220px; height: 64px; }
footer { margin-top: 56px; color: var(--muted); font-size: 13.5px; max-width: 76ch; }
@media (max-width: 720px) {
  main { padding: 24px 14px 48px; }
  h1 { font-size: 26px; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .tile { padding: 12px 12px 11px; } .tile dd { font-size: 21px; }
  .verdict { padding: 16px; }
  .chart { height: 300px; padding: 6px 2px 2px; }
  th, td { padding: 8px 10px; }
  .listing a { grid-template-columns: minmax(0, 1fr); }
  .stacked thead { position: absolute; clip-path: inset(50%); }
  .stacked tr { display: grid; grid-template-columns: 1fr auto; gap: 2px 12px; padding: 12px 14px;
    border-bottom: 1px solid var(--line); }
  .stacked tbody tr:last-child { border-bottom: 0; }
  .stacked th, .stacked td { padding: 0; border: 0; white-space: normal; }
  .stacked td:last-child { grid-column: 1 / -1; min-width: 0; }
  .rules .number { text-align: left; color: var(--muted); }
  .rules .number::before { content: attr(data-label) " "; }
  .rules .number + .number { text-align: right; }
  .rules .verdict-cell { grid-area: 1 / 2; justify-self: end; }
  .stacked.statistics td.unit { grid-area: 2 / 2; justify-self: end; font-size: 13px; }
  .stacked.statistics td:last-child { grid-area: 2 / 1; }
}
@media print {
  :root { color-scheme: light; }
  .card, .chart { break-inside: avoid; }
}
"""

SCRIPT = """
(function () {
  "use strict";
  var charts = JSON.parse(document.getElementById("charts").textContent);
  var scheme = window.matchMedia("(prefers-color-scheme: dark)");
  function resolve(value, css) {
    if (typeof value === "string" && value.slice(0, 2) === "--") {
      return css.getPropertyValue(value).trim();
    }
    if (Array.isArray(value)) {
      return value.map(function (item) { return resolve(item, css); });
    }
    if (value && typeof value === "object") {
      var copy = {};
      Object.keys(value).forEach(function (key) { copy[key] = resolve(value[key], css); });
      return copy;
    }
    return value;
  }
  function draw() {
    var css = getComputedStyle(document.documentElement);
    charts.forEach(function (chart) {
      var place = document.getElementById(chart.id);
      Plotly.react(place, resolve(chart.data, css), resolve(chart.layout, css), {
        responsive: true, displayModeBar: false, displaylogo: false, scrollZoom: false
      });
    });
  }
  draw();
  scheme.addEventListener("change", draw);
})();
"""

_TICK = "M3.2 8.6l3.2 3.2 6.4-7"
_CROSS = "M4 4l8 8M12 4l-8 8"
_DASH = "M3.5 8h9"


def mark(verdict: str) -> str:
    """A drawn tick, cross or dash, so that a verdict does not rest on its colour."""
    path = {"pass": _TICK, "fail": _CROSS}.get(verdict, _DASH)
    return (
        '<svg class="mark" viewBox="0 0 16 16" aria-hidden="true" fill="none" '
        'stroke="currentColor" stroke-width="2.2" stroke-linecap="round" '
        f'stroke-linejoin="round"><path d="{path}"/></svg>'
    )


def badge(verdict: str, word: str) -> str:
    """A verdict in a word, with its mark."""
    kind = verdict if verdict in {"pass", "fail"} else "none"
    return f'<span class="badge {kind}">{mark(verdict)}{escape(word)}</span>'


def page(title: str, body: str, *, script: str = "") -> str:
    """A whole page.

    Args:
        title: Title of the window, unescaped.
        body: HTML of the main part.
        script: HTML of the scripts, after the main part.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
{script}
</body>
</html>
"""
