"""A decision as rows of the table `promotions`, and as the report that its bundle carries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from vostok_core.lake.tables import table
from vostok_core.promotion.gate import Decision
from vostok_core.promotion.rules import Rule


def decision_frame(
    decision: Decision,
    *,
    profile_name: str,
    configuration: str,
    bundle: str,
    enters_service: bool,
) -> pl.DataFrame:
    """One row per rule, by the table `promotions`.

    Args:
        decision: What the gate decided.
        profile_name: Name of the profile in `vostok.toml`.
        configuration: Hash of the strategy configuration.
        bundle: Manifest hash of the candidate bundle.
        enters_service: Whether the pointer is moved to it.
    """
    rows = [
        {
            "rule": rule.name,
            "value": rule.value,
            "bound": rule.bound,
            "comparison": rule.comparison,
            "verdict": rule.verdict,
            "reason": rule.reason,
            "decision": decision.decision,
            "profile": profile_name,
            "profile_hash": decision.profile_hash,
            "configuration": configuration,
            "bundle": bundle,
            "trials": decision.trials,
            "enters_service": enters_service,
        }
        for rule in decision.rules
    ]
    return pl.DataFrame(rows, schema=table("promotions").schema)


def rule_document(rule: Rule) -> dict[str, Any]:
    """A rule as JSON: a value or bound that is not finite is null, and its reason says why."""
    return {
        "name": rule.name,
        "value": _finite(rule.value),
        "bound": _finite(rule.bound),
        "comparison": rule.comparison,
        "verdict": rule.verdict,
        "reason": rule.reason,
    }


def gate_report(
    decision: Decision,
    *,
    profile_name: str,
    configuration: str,
    bundle: str,
    evidence: Mapping[str, str],
) -> dict[str, Any]:
    """The decision as JSON-like values, for the bundle: verdict, bounds, rules, figures.

    Args:
        decision: What the gate decided.
        profile_name: Name of the profile in `vostok.toml`.
        configuration: Hash of the strategy configuration.
        bundle: Manifest hash of the bundle that was judged.
        evidence: Content hashes of the tables that it was judged by.
    """
    return {
        "decision": decision.decision,
        "summary": decision.summary,
        "profile": {
            "name": profile_name,
            "hash": decision.profile_hash,
            "bounds": decision.profile.model_dump(mode="json"),
        },
        "configuration": configuration,
        "bundle": bundle,
        "evidence": dict(evidence),
        "trials": decision.trials,
        "rules": [rule_document(rule) for rule in decision.rules],
        "reported": [
            {
                "name": figure.name,
                "value": _finite(figure.value),
                "unit": figure.unit,
                "description": figure.description,
            }
            for figure in decision.reported
        ],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
