"""What a daemon did, held against what the pipeline computes: parity and reconciliation.

The daemon ships its journal to the tables `live_*` by itself, which Dagster only hears of. Parity
must hold to the bit; what reconciliation finds may honestly differ, and is classified.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg

from vostok_core.errors import MissingPartition
from vostok_core.features.registry import pack
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.live.parity import Proof, prove
from vostok_core.live.reconciliation import Reconciliation, reconcile
from vostok_core.live.shipped import Shipped
from vostok_core.project import Project
from vostok_core.sentiment.scorer import Scorer
from vostok_core.sentiment.scorer import scorer as find_scorer
from vostok_core.strategy import Strategy
from vostok_core.times import utc
from vostok_pipelines.bad_days import BadDays
from vostok_pipelines.metadata import partition_metadata, spec_metadata, table_markdown
from vostok_pipelines.partitions import Partitions, date_key, days_by_instrument
from vostok_pipelines.proofs import VERSIONS, proof_contents
from vostok_pipelines.resources import LakeResource

OWNERS = ["team:research"]
SINGLE_RUN = dg.BackfillPolicy.single_run()

_SHOWN = 20


def live_assets(
    project: Project, partitions: Partitions
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The journal of every strategy, which comes from outside, and what it is held against."""
    return [
        asset
        for strategy in project.strategies.values()
        for asset in _assets_of(project, strategy, partitions)
    ]


def _assets_of(
    project: Project, strategy: Strategy, partitions: Partitions
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    name = strategy.name
    universe = project.settings.universe
    packs = strategy.file.features.packs

    def key(asset: str) -> dg.AssetKey:
        return dg.AssetKey([name, asset])

    journal = dg.AssetSpec(
        key("journal"),
        group_name=name,
        owners=OWNERS,
        kinds={"sqlite", "parquet"},
        partitions_def=partitions.date_instrument,
        description="What the daemon saw, decided and did, in the tables live_*. It ships them by "
        "itself: `vostok-live ship`, at its end, and after midnight.",
        code_version="1",
    )

    @dg.asset(
        key=key("parity"),
        deps=[journal, "bars"],
        group_name=name,
        owners=OWNERS,
        kinds={"numba", "parquet"},
        partitions_def=partitions.date_instrument,
        backfill_policy=SINGLE_RUN,
        description=table("parity").description,
        metadata=spec_metadata(table("parity")),
        code_version=VERSIONS["parity"],
        check_specs=[
            dg.AssetCheckSpec(
                "parity_holds",
                asset=key("parity"),
                description="Everything that the daemon computed on the days of the run is "
                "computed again with the same bits.",
            )
        ],
    )
    def parity(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        store = lake.open()
        bad = BadDays()
        rows: list[dict[str, Any]] = []
        differences: list[dict[str, Any]] = []
        verdicts: set[str] = set()
        for instrument, days in days_by_instrument(context.partition_keys):
            shipped = Shipped(store, name, instrument)
            # Before they are proven: what is shipped meanwhile makes a day due again.
            seen = store.seen_by_date("parity", strategy=name, instrument=instrument)
            inputs = {day: shipped.contents(day) for day in _traded(bad, shipped, days)}
            proofs = prove(store, name, universe[instrument], inputs, scorer_of(project, strategy))
            for proof in proofs:
                metadata = _write_proof(
                    store, name, instrument, proof, inputs[proof.day], seen[proof.day]
                )
                context.add_asset_metadata(metadata, partition_key=date_key(proof.day, instrument))
                verdicts.add(proof.verdict)
                rows += _counts(instrument, proof)
                differences += _differences(instrument, proof)
        bad.raise_noted(context)
        worst = dg.AssetCheckSeverity.ERROR
        return dg.MaterializeResult(
            check_results=[
                dg.AssetCheckResult(
                    check_name="parity_holds",
                    passed=verdicts == {"holds"},
                    severity=worst if "differs" in verdicts else dg.AssetCheckSeverity.WARN,
                    metadata={
                        "differences": len(differences),
                        "first": table_markdown(differences[:_SHOWN]),
                        "compared": table_markdown(rows[-_SHOWN * 5 :]),
                    },
                )
            ]
        )

    @dg.asset(
        key=key("reconciliation"),
        deps=[journal, "ticks", "bars", *(dg.AssetKey(["features", each]) for each in packs)],
        group_name=name,
        owners=OWNERS,
        kinds={"numba", "parquet"},
        partitions_def=partitions.date_instrument,
        backfill_policy=SINGLE_RUN,
        description=table("reconciliation").description,
        metadata=spec_metadata(table("reconciliation")),
        code_version=VERSIONS["reconciliation"],
    )
    def reconciliation(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> dg.MaterializeResult:
        store = lake.open()
        bad = BadDays()
        for instrument, days in days_by_instrument(context.partition_keys):
            for day in _traded(bad, Shipped(store, name, instrument), days):
                with bad.noted(instrument, day):
                    place = {"strategy": name, "instrument": instrument, "date": day}
                    seen = store.seen("reconciliation", **place)
                    inputs = proof_contents(store, strategy, instrument, day)
                    found = reconcile(store, strategy, universe[instrument], day)
                    metadata = _write_findings(store, place, found, inputs, seen)
                    context.add_asset_metadata(metadata, partition_key=date_key(day, instrument))
        bad.raise_noted(context)
        return dg.MaterializeResult()

    return [journal, parity, reconciliation]


def scorer_of(project: Project, strategy: Strategy) -> Scorer | None:
    """The scorer of the news that a strategy reads; None where it reads none."""
    if not any(pack(each).inputs == "sentiment" for each in strategy.file.features.packs):
        return None
    return find_scorer(project.settings.sentiment.scorer)


def _traded(bad: BadDays, shipped: Shipped, days: Iterable[date]) -> Sequence[date]:
    """Those of some days on which something was traded; the others are noted."""
    there = set(shipped.days())
    for day in days:
        with bad.noted(shipped.instrument, day):
            if day not in there:
                raise MissingPartition(
                    f"nothing was shipped of {shipped.strategy} on {shipped.instrument} for {day}",
                    where=shipped.lake.root,
                    hint=f"run `vostok-live ship {shipped.strategy} --instrument "
                    f"{shipped.instrument}` where its daemon trades, or ask for days on which it "
                    "traded",
                )
    return [day for day in days if day in there]


def _write_proof(
    lake: Lake,
    strategy: str,
    instrument: str,
    proof: Proof,
    inputs: Mapping[str, str],
    seen: str,
) -> dict[str, Any]:
    """Write a day's proof, and describe it."""
    info = lake.write(
        "parity",
        proof.frame(),
        code_version=VERSIONS["parity"],
        inputs=inputs,
        over=seen,
        strategy=strategy,
        instrument=instrument,
        date=proof.day,
    )
    return partition_metadata(info) | {
        "verdict": proof.verdict,
        "compared": sum(tally.compared for tally in proof.tallies.values()),
        "different": sum(tally.compared - tally.equal for tally in proof.tallies.values()),
        "untold": sum(tally.untold for tally in proof.tallies.values()),
        "reasons": table_markdown([{"reason": why} for why in proof.reasons]),
        "kinds": table_markdown(_counts(instrument, proof)),
    }


def _counts(instrument: str, proof: Proof) -> list[dict[str, Any]]:
    return [
        {
            "day": proof.day,
            "instrument": instrument,
            "kind": kind,
            "compared": tally.compared,
            "equal": tally.equal,
            "untold": tally.untold,
        }
        for kind, tally in proof.tallies.items()
    ]


def _differences(instrument: str, proof: Proof) -> list[dict[str, Any]]:
    return [
        {
            "time": f"{utc(each.ts):%Y-%m-%d %H:%M:%S.%f}",
            "instrument": instrument,
            "kind": each.kind,
            "place": each.place,
            "live": each.live,
            "batch": each.batch,
            "why": each.why,
        }
        for each in proof.differences
    ]


def _write_findings(
    lake: Lake,
    place: Mapping[str, Any],
    found: Reconciliation,
    inputs: Mapping[str, str],
    seen: str,
) -> dict[str, Any]:
    """Write a day's findings, and describe them."""
    info = lake.write(
        "reconciliation",
        found.findings,
        code_version=VERSIONS["reconciliation"],
        inputs=inputs,
        over=seen,
        **place,
    )
    shown = [
        {name: _told(value) for name, value in row.items()}
        for row in found.summary.iter_rows(named=True)
    ]
    trades = {f"positions_{side}": count for side, count in found.trades.items()}
    return partition_metadata(info) | trades | {"summary": table_markdown(shown)}


def _told(value: Any) -> Any:
    """A number as people read it."""
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else value
