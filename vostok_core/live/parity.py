"""Parity: everything that a daemon computed, computed again in batch, and compared bit for bit.

From the shipped journal of a day: bars from trades and cuts, what became known of news, features
from the walk of whole months, events, scores and probabilities of all rows at once, the decisions,
what the engine was told of each bar, and what it answered to everything. All of it is computed from
what came in (trades, cuts, news, what the engine heard) and from which bundle spoke; nothing that
is compared is used.

What can't be told again, since the lake has changed or lacks something, is counted and named.
Nothing is skipped in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import groupby

import numpy as np
import polars as pl

from vostok_core.errors import VostokError
from vostok_core.features.inputs import CLOSE, SENTIMENT_FIELDS
from vostok_core.lake.live_tables import PARITY_KINDS
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME, table
from vostok_core.live.rehear import rehear
from vostok_core.live.remake import Made, make_again, walked_over
from vostok_core.live.shipped import Beginning, Shipped, ShippedRun
from vostok_core.live.spoken import Bundles, Spoken
from vostok_core.live.tally import Difference, Tally
from vostok_core.live.terms import compare_config, compare_withheld
from vostok_core.live.told import Heard
from vostok_core.market.bars import BAR_FIELDS
from vostok_core.market.instrument import Instrument
from vostok_core.sentiment.scorer import Scorer
from vostok_core.strategy import Strategy
from vostok_core.times import DAY, day_start
from vostok_core.trading.events import BarClosed, Decision

CODE_VERSION = "3"
"""Changes whenever the same journal and lake give another result."""

REQUIRED = ("bars", "features", "events", "heard")
"""Kinds of which there must be something on a day that has bars. A run that sees to exits alone
closes none: its days have answers and what the engine knew, and nothing else."""

_STEP_KINDS = ("bars", "features", "events", "heard")
_FOLLOWS = {
    "features": ("bars", "sentiment"),
    "events": ("bars", "features"),
    "scores": ("features", "events"),
    "probabilities": ("scores",),
    "decisions": ("events", "features", "bars"),
    "withheld": ("events",),
    "heard": ("decisions", "probabilities", "events", "withheld", "bars"),
}
"""What a kind is computed from: a difference there makes one here."""


@dataclass(frozen=True)
class Proof:
    """What the comparison of a day found.

    Attributes:
        day: The day.
        tallies: What was compared, by kind.
    """

    day: date
    tallies: Mapping[str, Tally] = field(
        default_factory=lambda: {kind: Tally(kind) for kind in PARITY_KINDS}
    )

    @classmethod
    def of(cls, day: date, rows: pl.DataFrame) -> Proof:
        """A proof as far as rows of the table `parity` tell it: what was counted."""
        counts = rows.select("kind", "compared", "equal", "untold")
        return cls(day, {row[0]: Tally(*row) for row in counts.iter_rows()})

    @property
    def holds(self) -> bool:
        """Whether something was compared, all of it is equal, and nothing could not be told
        again."""
        tallies = self.tallies.values()
        return all(tally.holds for tally in tallies) and any(tally.compared for tally in tallies)

    @property
    def verdict(self) -> str:
        """`holds`, `differs`, or `untold` where nothing differs and something can't be told."""
        if self.holds:
            return "holds"
        differs = any(tally.equal != tally.compared for tally in self.tallies.values())
        return "differs" if differs else "untold"

    @property
    def differences(self) -> list[Difference]:
        """The first differences of each kind, with what they follow from where that is known."""
        first = {
            kind: min(each.ts for each in tally.differences)
            for kind, tally in self.tallies.items()
            if tally.differences
        }

        def explained(found: Difference) -> Difference:
            causes = [
                kind
                for kind in _FOLLOWS.get(found.kind, ())
                if kind in first and first[kind] <= found.ts
            ]
            if found.why or not causes:
                return found
            return replace(found, why=f"follows from {causes[0]}")

        return [explained(each) for tally in self.tallies.values() for each in tally.differences]

    @property
    def reasons(self) -> list[str]:
        """Why something could not be told again."""
        return list(dict.fromkeys(why for t in self.tallies.values() for why in t.reasons))

    def frame(self) -> pl.DataFrame:
        """Rows of the table `parity`."""
        firsts: dict[str, Difference] = {}
        for each in self.differences:
            firsts.setdefault(each.kind, each)
        rows = []
        for kind, tally in self.tallies.items():
            found = firsts.get(kind)
            why = "; ".join(tally.reasons) if found is None else found.why
            said = (
                (None,) * 4 if found is None else (found.ts, found.place, found.live, found.batch)
            )
            rows.append((kind, tally.compared, tally.equal, tally.untold, *said, why or None))
        schema = table("parity").schema
        physical = {name: pl.Int64 if kind == TIME else kind for name, kind in schema.items()}
        return pl.DataFrame(rows, schema=physical, orient="row").cast(pl.Schema(schema))


def prove(
    lake: Lake,
    strategy: str,
    instrument: Instrument,
    days: Iterable[date],
    scorer: Scorer | None = None,
) -> list[Proof]:
    """Compare what daemons computed on some days with what the batch computes.

    Args:
        lake: Holds the shipped journal, the bundles that it names, and what it walked over.
        strategy: Name of the strategy.
        instrument: Its rules, as they were when the daemon ran.
        days: Days that have been shipped.
        scorer: That of the news; needed where a pack reads sentiment.

    Returns:
        A proof for each day, in order.

    Raises:
        MissingPartition: A day has not been shipped.

    Time is that of a walk over the two months before each month; memory that of its bars.
    """
    shipped = Shipped(lake, strategy, str(instrument.id))
    wanted = sorted(set(days))
    proofs = {day: Proof(day) for day in wanted}
    runs = shipped.runs()
    heard, bundles = Heard(shipped), Bundles(lake)
    for month, group in groupby(wanted, key=lambda day: day.replace(day=1)):
        steps = {day: shipped.read("live_steps", day) for day in group}
        _prove_month(shipped, instrument, runs, bundles, month, steps, proofs, heard, scorer)
    for day, proof in proofs.items():
        _prove_configs(shipped, runs, bundles, day, proof)
    rehear(shipped, runs, {day: proof.tallies for day, proof in proofs.items()})
    for day, proof in proofs.items():
        _require(shipped, day, proof.tallies)
    return [proofs[day] for day in wanted]


def _require(shipped: Shipped, day: date, tallies: Mapping[str, Tally]) -> None:
    """Count as untold what must come about on a day, where nothing of it was compared or counted:
    bars that were cut, and all that is made of them; answers to what was heard."""
    bars = max(shipped.rows(name, day) for name in ("live_cuts", "live_steps"))
    due = [*((kind, bars) for kind in REQUIRED), ("answers", shipped.rows("live_events", day))]
    for kind, count in due:
        if not (tallies[kind].compared or tallies[kind].untold):
            tallies[kind].cannot_tell(count, "nothing says what was made of them")


def _prove_configs(
    shipped: Shipped, runs: Sequence[ShippedRun], bundles: Bundles, day: date, proof: Proof
) -> None:
    """Compare what the engines were told that heard something on a day."""
    heard = set(shipped.read_days("live_events", [day])["run"].unique())
    for run in runs:
        if run.run not in heard:
            continue
        model = bundles.load(run.bundle)
        if isinstance(model, VostokError):
            proof.tallies["runs"].cannot_tell(1, model.what)
        else:
            compare_config(proof.tallies["runs"], day_start(day), run, model.strategy)


def _prove_month(
    shipped: Shipped,
    instrument: Instrument,
    runs: Sequence[ShippedRun],
    bundles: Bundles,
    month: date,
    steps: Mapping[date, pl.DataFrame],
    proofs: Mapping[date, Proof],
    heard: Heard,
    scorer: Scorer | None,
) -> None:
    for beginning, own in _by_beginning(runs).items():
        grids = {run.run: run for run in own}
        here = {d: f.filter(pl.col("run").is_in(list(grids))) for d, f in steps.items()}
        ends = [int(frame["ts"].to_physical()[-1]) for frame in here.values() if frame.height]
        if not ends:
            continue
        made: dict[str, Made | VostokError] = {}
        for day, frame in here.items():
            tallies = proofs[day].tallies
            newest = {cut.ts: cut.last_id for cut in shipped.cuts(day)}
            for (run, bundle), part in frame.group_by("run", "bundle", maintain_order=True):
                model = bundles.load(str(bundle))
                if isinstance(model, VostokError):
                    _untold(tallies, part.height, model.what)
                    continue
                again = made.get(model.configuration)
                if again is None:
                    again = made[model.configuration] = _make(
                        shipped, instrument, beginning, model.strategy, month, max(ends), scorer
                    )
                if isinstance(again, VostokError):
                    _untold(tallies, part.height, again.what)
                else:
                    _compare(tallies, part, model, again, grids[run], newest, heard)
        told = next((each for each in made.values() if isinstance(each, Made)), None)
        if told is not None:  # whatever the features, the bars are the same
            _look_for_unmade(told, steps, proofs)
    known = [run.run for run in runs]
    for day, frame in steps.items():
        orphans = frame.filter(~pl.col("run").is_in(known))
        if orphans.height:
            names = ", ".join(map(str, orphans["run"].unique().sort()))
            _untold(proofs[day].tallies, orphans.height, f"run {names} was not shipped")
        heard.look_for_unmade(day, frame, proofs[day].tallies["heard"])


def _by_beginning(runs: Sequence[ShippedRun]) -> dict[Beginning, list[ShippedRun]]:
    found: dict[Beginning, list[ShippedRun]] = {}
    for run in runs:
        found.setdefault(run.beginning, []).append(run)
    return found


def _make(
    shipped: Shipped,
    instrument: Instrument,
    beginning: Beginning,
    strategy: Strategy,
    month: date,
    until: int,
    scorer: Scorer | None,
) -> Made | VostokError:
    try:
        past = walked_over(shipped, instrument, beginning, strategy, month, until)
        return make_again(shipped, instrument, strategy, past, month, scorer)
    except VostokError as error:
        return error


def _untold(tallies: Mapping[str, Tally], count: int, why: str) -> None:
    """Count steps that can't be told again, by rows, and say why."""
    for kind in _STEP_KINDS:
        tallies[kind].cannot_tell(count, why)


def _compare(
    tallies: Mapping[str, Tally],
    steps: pl.DataFrame,
    model: Spoken,
    made: Made,
    run: ShippedRun,
    newest: Mapping[int, int],
    heard: Heard,
) -> None:
    """Compare the steps of a run and a bundle on a day with what is made again."""
    ends = made.bars.ends
    ts = _us(steps["ts"]).to_numpy()
    at = np.searchsorted(ends, ts)
    there = (at < ends.size) & (ends[np.minimum(at, ends.size - 1)] == ts) if ends.size else ts < 0
    _lacking(tallies, ts[~there], made)
    steps, ts, at = steps.filter(pl.Series(there)), ts[there], at[there]
    bars, features = made.bars, made.features[at]
    columns = [f"bar_{name}" for name in BAR_FIELDS[1:]]
    tally = tallies["bars"]
    tally.doubles(ts, columns, _matrix(steps, columns), bars.rows[at, 1:])
    for name, told in (("first_id", bars.ids[at, 0]), ("last_id", bars.ids[at, 1])):
        tally.whole(ts, name, steps[name].to_numpy(), told)
    tally.whole(ts, "bar_valid", steps["bar_valid"].to_numpy(), bars.valid[at])
    if made.sentiment is not None:
        columns = [f"sentiment_{name}" for name in SENTIMENT_FIELDS[1:]]
        said = made.sentiment[at, 1:]
        tallies["sentiment"].doubles(ts, columns, _matrix(steps, columns), said)
    columns = list(model.bundle.manifest.features)
    tallies["features"].doubles(ts, columns, _matrix(steps, columns), features)
    event = made.event[at]
    valid = made.steady[at] & (~event | np.isfinite(features).all(axis=1))
    tallies["events"].whole(ts, "event", steps["event"].to_numpy(), event)
    tallies["events"].whole(ts, "valid", steps["valid"].to_numpy(), valid)
    said = _decisions(model, made, at)
    due = event | steps["event"].to_numpy()
    for kind, names in _SAID.items():
        places = [_NUMBERS.index(name) for name in names]
        live = _matrix(steps, names)[due]
        tallies[kind].doubles(ts[due], names, live, said[np.ix_(due, places)])
    compare_withheld(tallies["withheld"], steps, event, run, newest, heard)
    withheld = steps["withheld"].to_list()
    for n in range(ts.size):
        told = Decision(*map(float, said[n, 1:])) if event[n] and withheld[n] is None else None
        good = bool(bars.valid[at[n]]) and bool(valid[n] or not event[n])
        close = run.rules.ticks(float(bars.rows[at[n], CLOSE]))
        heard.compare(tallies["heard"], run.run, BarClosed(int(ts[n]), close, good, told))


_NUMBERS = ("score", "probability", "threshold", "sigma", "reference")
_SAID = {
    "scores": ["score"],
    "probabilities": ["probability"],
    "decisions": ["threshold", "sigma", "reference"],
}


def _decisions(model: Spoken, made: Made, at: np.ndarray) -> np.ndarray:
    """What the model says at bars, shape (bars, 5), columns `_NUMBERS`; NaN where no decision is
    due. All of them are scored in one call."""
    said = np.full((at.size, len(_NUMBERS)), np.nan)
    event = made.event[at]
    rows = at[event]
    scores, probabilities = model.bundle.predict(made.features[rows])
    threshold = np.full(rows.size, model.bundle.manifest.threshold)
    close = made.bars.rows[rows, CLOSE]
    said[event] = np.column_stack((scores, probabilities, threshold, made.sigma[rows], close))
    return said


def _lacking(tallies: Mapping[str, Tally], ts: np.ndarray, made: Made) -> None:
    """Count steps of whose bar the batch knows nothing."""
    broken = made.bars.broken
    if broken is not None:
        after = ts >= broken.ts
        if after.any():
            live = f"{int(after.sum())} bars of the day from here on"
            tallies["bars"].lack(broken.ts, "cut", live, "none", broken.why)
            _untold(tallies, int(after.sum()), "cuts and trades don't fit together before them")
        ts = ts[~after]
    for each in ts.tolist():
        tallies["bars"].lack(each, "bar", "a bar", "none", "no cut closed it")
        _untold(tallies, 1, "the batch has no bar there")


def _look_for_unmade(
    made: Made, steps: Mapping[date, pl.DataFrame], proofs: Mapping[date, Proof]
) -> None:
    """Count bars of which nothing was written down."""
    for day, frame in steps.items():
        ends = made.bars.ends
        start = day_start(day)
        own = ends[(ends > start) & (ends <= start + DAY)]
        for ts in np.setdiff1d(own, _us(frame["ts"]).to_numpy()).tolist():
            tally = proofs[day].tallies["bars"]
            tally.lack(ts, "bar", "none", "a bar", "the daemon wrote down nothing of it")


def _matrix(frame: pl.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Columns as float64, shape (rows, columns)."""
    return np.column_stack([frame[name].to_numpy() for name in columns])


def _us(column: pl.Series) -> pl.Series:
    """Times as microseconds."""
    return column.to_physical()
