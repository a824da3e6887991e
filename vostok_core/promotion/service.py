"""Putting back into service what the gate has put there before, and taking it out: a person's acts.

Nothing enters service by them that the gate has not promoted and put into service once. Who does
it, when and why is in the pointer and in the table `service`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date

from vostok_core.errors import BundleError, Refused, UsageError
from vostok_core.lake.store import Lake
from vostok_core.models.bundle_folder import load_kept
from vostok_core.models.registry import (
    Promotion,
    Service,
    change_service,
    changing_service,
    kept_path,
    seen_service,
    serve_command,
    service,
)
from vostok_core.promotion.log import decisions
from vostok_core.times import utc


@dataclass(frozen=True)
class Candidate:
    """A model that the gate has decided on.

    Attributes:
        week: Its Monday.
        bundle: Manifest hash.
        decision: The newest decision on it.
        entered: Whether one of the decisions on it was to put it into service.
    """

    week: date
    bundle: str
    decision: str
    entered: bool

    @property
    def may_serve(self) -> bool:
        """Whether a person may put it into service."""
        return self.entered and self.decision == "promoted"


def candidates(lake: Lake, strategy: str, instrument: str) -> list[Candidate]:
    """The models of a strategy and instrument that the gate has decided on, by week.

    Raises:
        CorruptPartition: A decision doesn't read.
    """
    found: dict[tuple[date, str], Candidate] = {}
    for each in decisions(lake, strategy, instrument):
        before = found.get((each.week, each.bundle))
        entered = each.enters_service or (before is not None and before.entered)
        found[each.week, each.bundle] = Candidate(each.week, each.bundle, each.decision, entered)
    return [each for each in found.values() if each.bundle]


def serve(
    lake: Lake,
    strategy: str,
    instrument: str,
    week: date,
    *,
    by: str,
    why: str,
    at: int,
    bundle: str = "",
) -> Promotion:
    """Put a model into service that the gate has put there before.

    Where that sets aside models of later weeks, the gate's decisions on these no longer count: the
    next that takes over is one of a week after them. Also a pointer that doesn't read is replaced.

    Args:
        lake: The lake.
        strategy: Name of the strategy.
        instrument: Id of the instrument.
        week: Monday of the model.
        by: Who does it.
        why: In words.
        at: When, microseconds of wall time.
        bundle: The first digits of its manifest hash, where the week has several.

    Raises:
        UsageError: Nobody says why, or the week has several models.
        Refused: The gate has put no such model into service, or refuses it by now.
        BundleError: The copy that was kept can't be trusted.
    """
    _require_reason(by, why)
    with changing_service(lake, strategy, instrument):
        seen = seen_service(lake, strategy, instrument)
        known = candidates(lake, strategy, instrument)
        chosen = _chosen(lake, strategy, instrument, week, bundle, known)
        found = _kept(lake, strategy, instrument, chosen)
        newest = _newest(lake, strategy, instrument, known)
        aside = newest if newest is not None and newest > week else None
        change_service(lake, strategy, instrument, Service(found, by, why, at, aside), over=seen)
    return found


def withdraw(
    lake: Lake, strategy: str, instrument: str, *, by: str, why: str, at: int
) -> Promotion | None:
    """Take what is in service out of it, until the gate promotes a model of a later week.

    Returns:
        What was in service; None where that can't be told, since the pointer doesn't read.

    Raises:
        UsageError: Nobody says why.
        Refused: Nothing is in service.
    """
    _require_reason(by, why)
    with changing_service(lake, strategy, instrument):
        seen = seen_service(lake, strategy, instrument)
        try:
            held = service(lake, strategy, instrument)
        except BundleError:
            found = None
        else:
            found = None if held is None else held.promotion
            if found is None:
                raise Refused(
                    f"no model of {strategy} is in service on {instrument}",
                    where=lake.root,
                    hint=f"`vostok model list {strategy}` shows what is",
                )
        newest = _newest(lake, strategy, instrument, candidates(lake, strategy, instrument))
        change_service(lake, strategy, instrument, Service(None, by, why, at, newest), over=seen)
    return found


def standing(lake: Lake, strategy: str, instrument: str, week: date) -> str:
    """What the newest decision on a week's model means for what is in service, in words.

    Raises:
        MissingPartition: The week was not decided.
        CorruptPartition: The decision doesn't read.
    """
    place = {"strategy": strategy, "instrument": instrument}
    said = lake.read("promotions", **place, week=week).row(0, named=True)
    try:
        held = service(lake, strategy, instrument)
    except BundleError as error:
        return f"what is in service can't be told: {error}"
    now = None if held is None else held.promotion
    serving = "nothing is in service" if now is None else f"in service is the model of {now.week}"
    if said["decision"] != "promoted":
        if now is not None and now.week == str(week):
            return (
                f"the model of {week}, which was promoted before, stays in service; `vostok model "
                f"withdraw {strategy} --instrument {instrument} --why TEXT` takes it out"
            )
        return f"not put in service; {serving}"
    if now is not None and (now.week, now.manifest_sha256) == (str(week), said["bundle"]):
        return "it is in service"
    if held is not None and held.instead_of is not None and week <= held.instead_of:
        when = f" on {utc(held.at):%Y-%m-%d}" if held.at else ""
        return f"not in service: {held.by} set it aside{when} ({held.why}); {serving}"
    if now is not None and now.week > str(week):
        return f"not in service: that of a later week is; {serving}"
    if said["enters_service"]:
        return (
            "not in service: the decision was cut short; run `vostok materialize "
            f"{strategy}/promotion --instrument {instrument} --from {week} --to {week}` again"
        )
    return (
        "not put in service: the configuration has been walked further than to this week, and a "
        f"path whose end could be chosen promotes nothing; {serving}"
    )


def _require_reason(by: str, why: str) -> None:
    for name, text in (("who", by), ("why", why)):
        if not text.strip():
            raise UsageError(
                f"it is not said {name}",
                hint="whoever reads it later wants to know by whom and why",
            )


def _chosen(
    lake: Lake, strategy: str, instrument: str, week: date, bundle: str, known: list[Candidate]
) -> Candidate:
    of_week = [c for c in known if c.week == week and c.bundle.startswith(bundle)]
    entered = [c for c in of_week if c.entered]
    what = f"the gate has put no model of {strategy} on {instrument}, week {week}, into service"
    hint = f"`vostok model list {strategy}` shows those that may serve"
    if not entered:
        raise Refused(what, where=lake.root, hint=hint)
    allowed = [c for c in entered if c.may_serve]
    if not allowed:
        raise Refused(
            f"the newest decision on the model of {strategy} on {instrument}, week {week}, is a "
            "refusal",
            where=lake.root,
            hint=hint,
        )
    if len(allowed) > 1:
        names = ", ".join(c.bundle[:16] for c in allowed)
        raise UsageError(
            f"the week {week} has {len(allowed)} models that may serve: {names}",
            hint="say which with --bundle",
        )
    return allowed[0]


def _kept(lake: Lake, strategy: str, instrument: str, chosen: Candidate) -> Promotion:
    """The copy of a promoted model, with all that was written beside it still true of it."""
    folder = kept_path(lake, chosen.bundle)
    bundle, report = load_kept(folder, sha256=chosen.bundle)
    manifest, gate = bundle.manifest, json.loads(report)
    said = (manifest.strategy, manifest.instrument, manifest.week)
    if said != (strategy, instrument, str(chosen.week)):
        raise BundleError(
            f"the bundle is of {', '.join(said)}, not of {strategy}, {instrument}, {chosen.week}",
            where=folder,
            hint=f"`vostok model list {strategy}` shows those that may serve",
        )
    if (gate.get("decision"), gate.get("bundle")) != ("promoted", chosen.bundle):
        raise BundleError(
            "the report beside the bundle does not say that it was promoted",
            where=folder,
            hint=f"run `vostok materialize {strategy}/promotion --instrument {instrument} "
            f"--from {chosen.week} --to {chosen.week}`, then "
            f"{serve_command(strategy, instrument, chosen.week)}",
        )
    return Promotion.of(bundle)


def _newest(lake: Lake, strategy: str, instrument: str, known: list[Candidate]) -> date | None:
    """Monday of the newest model that has been in service, or was set aside."""
    weeks = [each.week for each in known if each.entered]
    try:
        held = service(lake, strategy, instrument)
    except BundleError:
        held = None
    if held is not None and held.promotion is not None:
        weeks.append(date.fromisoformat(held.promotion.week))
    if held is not None and held.instead_of is not None:
        weeks.append(held.instead_of)
    return max(weeks, default=None)
