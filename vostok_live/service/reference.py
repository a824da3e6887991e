"""The pages of `docs/` on the daemon that are made from the types: `make docs` writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from vostok_live.recorder.status import RecorderStatus
from vostok_live.service.metrics import METRICS
from vostok_live.service.status import Status


def schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of the status."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Status of vostok-live",
        "description": "Answer of GET /status, and what `vostok-live status --json` prints. Fields "
        "may be added; none is removed or changes its meaning. Prices are in quote per base, "
        "quantities in base, money in quote. Names that end in _us are the wall's time and ts is "
        "market time, in microseconds since 1970 UTC; _s and _ms are durations by the wall.",
        **msgspec.json.schema(Status),
    }


def recorder_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of how recordings stand."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Status of vostok-live record",
        "description": "What `vostok-live record status --json` prints; its heartbeats are the "
        "files heartbeat.json of the recorder's folder. Fields may be added; none is removed or "
        "changes its meaning. Names that end in _us are the wall's time and ts is market time, in "
        "microseconds since 1970 UTC.",
        **msgspec.json.schema(RecorderStatus),
    }


def recorder_schema_page() -> str:
    """docs/recorder-status.schema.json."""
    return json.dumps(recorder_schema(), indent=2, ensure_ascii=False) + "\n"


def schema_page() -> str:
    """docs/live-status.schema.json."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def metrics_page() -> str:
    """docs/live-metrics.md."""
    lines = [
        "<!-- made by `make docs` from vostok_live/service/metrics.py; edit that -->",
        "# Metrics of the daemon",
        "",
        "`GET /metrics` answers in Prometheus's text format ([live-control.md](live-control.md)).",
        "Every sample bears the labels `strategy` and `instrument`. Metrics with a star tell of",
        "money and take the token.",
        "",
        "| metric | kind | labels | meaning |",
        "|---|---|---|---|",
    ]
    for metric in METRICS:
        family = metric.family
        labels = ", ".join(f"`{label}`" for label in family.labels)
        star = " \\*" if metric.private else ""
        lines.append(f"| `{family.name}`{star} | {family.kind} | {labels} | {family.help} |")
    return "\n".join(lines) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "live-status.schema.json": schema_page,
    "live-metrics.md": metrics_page,
    "recorder-status.schema.json": recorder_schema_page,
}


def write(folder: Path) -> None:
    """Write every page into `folder`."""
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).parents[2] / "docs")
