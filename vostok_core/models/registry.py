"""Where bundles lie in the lake, and which one is in service.

models/strategy=…/instrument=…/week=…/bundle/   the week's model, made again when it is retrained
models/bundles/<manifest sha256>/               promoted models, which never change, and why
models/promoted/<strategy>/<instrument>         a JSON file: which of those is in service, by whom

Every change of that file is a row of the table `service`, which keeps those before it. In an object
store each of the folders is one object, `bundle.zip` or `<manifest sha256>.zip`.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

import polars as pl

from vostok_core.errors import BundleError
from vostok_core.lake.address import Place
from vostok_core.lake.objects import UNWRITTEN
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.models.bundle import Bundle
from vostok_core.models.bundle_folder import keep_bundle, load_bundle, load_kept
from vostok_core.models.manifest import AGAIN
from vostok_core.times import utc

GATE = "gate"
"""Who puts a model into service, where it is no person."""

_VERSION = "1"
_OF_BUNDLE = ("week", "bundle", "manifest_sha256")


@dataclass(frozen=True)
class Promotion:
    """A bundle that was kept: its folder, relative to the lake, its hash and week."""

    strategy: str
    instrument: str
    week: str
    bundle: str
    manifest_sha256: str

    @classmethod
    def of(cls, bundle: Bundle) -> Promotion:
        """What names a bundle once it is kept."""
        said = bundle.manifest
        name = (said.strategy, said.instrument, said.week)
        return cls(*name, _kept(bundle.sha256), bundle.sha256)


@dataclass(frozen=True)
class Service:
    """What the pointer says.

    Attributes:
        promotion: What is in service; None where a person took it out.
        by: Who saw to that: `gate`, or a person.
        why: In words.
        at: When, microseconds of wall time; 0 where that was not written down.
        instead_of: Monday of the newest week whose model a person has set aside by it. What the
            gate promotes of that week or an earlier one does not take over.
    """

    promotion: Promotion | None
    by: str = GATE
    why: str = ""
    at: int = 0
    instead_of: date | None = None

    def admits(self, week: date | str) -> bool:
        """Whether what the gate promotes of a week may take over."""
        week = date.fromisoformat(str(week))
        if self.instead_of is not None and week <= self.instead_of:
            return False
        return self.promotion is None or week >= date.fromisoformat(self.promotion.week)


def bundle_path(lake: Lake, strategy: str, instrument: str, week: date) -> Place:
    """The folder of a week's bundle."""
    return lake.objects.place(
        f"models/strategy={strategy}/instrument={instrument}/week={week}/bundle"
    )


def kept_path(lake: Lake, sha256: str) -> Place:
    """The folder that a promoted bundle of that manifest hash is kept in."""
    return lake.objects.place(_kept(sha256))


def _kept(sha256: str) -> str:
    return f"models/bundles/{sha256}"


def pointer_path(lake: Lake, strategy: str, instrument: str) -> Place:
    """The file that names the bundle in service."""
    return lake.objects.place(_pointer(strategy, instrument))


def was_promoted(lake: Lake, strategy: str, instrument: str) -> bool:
    """Whether there is a pointer, whatever it says."""
    return lake.objects.stat(_pointer(strategy, instrument)) is not None


def _pointer(strategy: str, instrument: str) -> str:
    return f"models/promoted/{strategy}/{instrument}"


def keep(
    lake: Lake, strategy: str, instrument: str, week: date, *, sha256: str, gate: bytes
) -> Promotion:
    """Copy the week's bundle, with its gate report, to where retraining does not reach.

    Nothing enters service by it; `put_in_service` takes what it returns. Doing it again changes
    nothing but the report.

    Args:
        lake: The lake.
        strategy: Name of the strategy.
        instrument: Name of the instrument.
        week: The bundle's Monday.
        sha256: The manifest hash of the bundle that was judged.
        gate: The report of the decision, JSON.

    Raises:
        BundleError: The bundle is absent, can't be trusted, or is another's.
    """
    source = bundle_path(lake, strategy, instrument, week)
    bundle = load_bundle(source, sha256=sha256)
    again = _materialize("model", strategy, instrument, week)
    _check_owner(bundle, strategy, instrument, source, again)
    if bundle.manifest.week != str(week):
        raise BundleError(
            f"the bundle is of week {bundle.manifest.week}, not of {week}",
            where=source,
            hint=again,
        )
    keep_bundle(source, kept_path(lake, sha256), sha256=sha256, gate=gate)
    return Promotion.of(bundle)


def put_in_service(lake: Lake, found: Promotion, *, at: int, by: str = GATE, why: str = "") -> bool:
    """Point at a kept bundle, unless one of a later week is in service, or a person wants none of
    its week.

    Doing it again changes nothing.

    Args:
        lake: The lake.
        found: What `keep` returned.
        at: When, microseconds of wall time.
        by: Who does it.
        why: In words.

    Returns:
        Whether it is in service now.

    Raises:
        BundleError: The pointer that is there doesn't read.
        Conflict: Somebody else moved it meanwhile.
    """
    with changing_service(lake, found.strategy, found.instrument):
        held, seen = _read_service(lake, found.strategy, found.instrument)
        if held is not None and not held.admits(found.week):
            return False
        if held is None or held.promotion != found:
            held = Service(found, by, why, at)
        change_service(lake, found.strategy, found.instrument, held, over=seen)
    return True


def change_service(
    lake: Lake, strategy: str, instrument: str, to: Service, *, over: str | None = None
) -> None:
    """Make the pointer say something else, whatever it says now, and note it in `service`.

    The pointer says all that the row does, so a row that a kill kept from being written is written
    at the next change.

    Args:
        lake: The lake.
        strategy: Name of the strategy.
        instrument: Name of the instrument.
        to: What it is to say.
        over: What `seen_service` said before that was decided; by default what it says now.

    Raises:
        Conflict: Somebody else changed it meanwhile.
    """
    with changing_service(lake, strategy, instrument):
        seen = seen_service(lake, strategy, instrument) if over is None else over
        try:
            held = service(lake, strategy, instrument)
        except BundleError:
            held = None  # what can't be read can't be noted
        if held != to:
            _note(lake, strategy, instrument, held)
            text = json.dumps(_document(strategy, instrument, to), sort_keys=True, indent=1)
            lake.objects.put_if(_pointer(strategy, instrument), f"{text}\n".encode(), seen)
        _note(lake, strategy, instrument, to)


def _note(lake: Lake, strategy: str, instrument: str, said: Service | None) -> None:
    """Write a row of `service`, unless it is the newest one."""
    if said is None:
        return
    place = {"strategy": strategy, "instrument": instrument}
    declared = table("service")
    seen = lake.seen("service", **place)
    rows = lake.read("service", **place) if seen != UNWRITTEN else declared.empty()
    found = said.promotion
    row = pl.DataFrame(
        [
            {
                "ts": utc(said.at) if said.at else None,
                "week": None if found is None else date.fromisoformat(found.week),
                "bundle": None if found is None else found.manifest_sha256,
                "by": said.by,
                "why": said.why,
                "instead_of": said.instead_of,
            }
        ],
        schema=declared.schema,
    )
    if not rows.tail(1).equals(row):
        rows = pl.concat([rows, row])
        lake.write("service", rows, code_version=_VERSION, inputs=None, over=seen, **place)


def _document(strategy: str, instrument: str, said: Service) -> dict[str, str | None]:
    named: dict[str, str | None] = (
        dict.fromkeys(_OF_BUNDLE) if said.promotion is None else asdict(said.promotion)
    )
    return {
        **named,
        "strategy": strategy,
        "instrument": instrument,
        "by": said.by,
        "why": said.why,
        "at": utc(said.at).isoformat() if said.at else None,
        "instead_of": None if said.instead_of is None else str(said.instead_of),
    }


def changing_service(lake: Lake, strategy: str, instrument: str) -> AbstractContextManager[None]:
    """For the time of a block, nobody else changes what is in service: what `may_enter` said in it
    stays true."""
    return lake.sole_writer(_pointer(strategy, instrument))


def may_enter(lake: Lake, strategy: str, instrument: str, week: date | str) -> bool:
    """Whether no bundle of a later week is in service, and no person has set aside the week's:
    deciding an old week anew changes nothing.

    Raises:
        BundleError: The pointer doesn't read.
    """
    held = service(lake, strategy, instrument)
    return held is None or held.admits(week)


def promotion(lake: Lake, strategy: str, instrument: str) -> Promotion | None:
    """The bundle that the pointer names, or None when nothing is in service.

    Raises:
        BundleError: The pointer doesn't read, or points out of the lake's models.
    """
    held = service(lake, strategy, instrument)
    return None if held is None else held.promotion


def service(lake: Lake, strategy: str, instrument: str) -> Service | None:
    """What the pointer says, or None where there is none.

    Raises:
        BundleError: As in `promotion`.
    """
    return _read_service(lake, strategy, instrument)[0]


def seen_service(lake: Lake, strategy: str, instrument: str) -> str:
    """What tells the present state of the pointer from every later one, for `change_service`."""
    stat = lake.objects.stat(_pointer(strategy, instrument))
    return stat.tag if stat else UNWRITTEN


def _read_service(lake: Lake, strategy: str, instrument: str) -> tuple[Service | None, str]:
    """What the pointer says, and the tag of what says it."""
    pointer = pointer_path(lake, strategy, instrument)
    try:
        content, stat = lake.objects.read(_pointer(strategy, instrument))
    except FileNotFoundError:
        return None, UNWRITTEN
    except OSError as error:
        raise _bad_pointer(pointer, str(error)) from None
    try:
        said = dict(json.loads(content.decode()))
        # Those that the first pointers lacked.
        by, why = said.pop("by", GATE), said.pop("why", "")
        at, aside = said.pop("at", None), said.pop("instead_of", None)
        withdrawn = all(said[name] is None for name in _OF_BUNDLE)
        found = Promotion(**said)
        if not withdrawn:
            date.fromisoformat(found.week)
        held = Service(
            None if withdrawn else found,
            str(by),
            str(why),
            0 if at is None else _microseconds(datetime.fromisoformat(at)),
            None if aside is None else date.fromisoformat(aside),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise _bad_pointer(pointer, str(error)) from None
    named = held.promotion
    if named is not None and (
        named.bundle != f"models/bundles/{named.manifest_sha256}"
        or not _is_hash(named.manifest_sha256)
    ):
        raise _bad_pointer(pointer, f"{named.bundle!r} is not a promoted bundle")
    return held, stat.tag


def _microseconds(time: datetime) -> int:
    return (time - utc(0)) // timedelta(microseconds=1)


def promoted(lake: Lake, strategy: str, instrument: str) -> Bundle | None:
    """The verified bundle in service, or None.

    Raises:
        BundleError: The pointer or the bundle can't be trusted.
    """
    found = promotion(lake, strategy, instrument)
    if found is None:
        return None
    folder = kept_path(lake, found.manifest_sha256)
    try:
        bundle, _ = load_kept(folder, sha256=found.manifest_sha256)
    except BundleError as error:
        if error.hint == AGAIN:  # the folder doesn't say whose it is, and the pointer does
            again = _materialize("promotion", strategy, instrument, found.week)
            error.hint = f"{again}, and don't edit bundles"
        raise
    _check_owner(bundle, strategy, instrument, folder, f"run {serve_command(strategy, instrument)}")
    return bundle


def _check_owner(bundle: Bundle, strategy: str, instrument: str, where: Place, hint: str) -> None:
    if (bundle.manifest.strategy, bundle.manifest.instrument) != (strategy, instrument):
        raise BundleError(
            f"the bundle is of {bundle.manifest.strategy} on {bundle.manifest.instrument}, "
            f"not of {strategy} on {instrument}",
            where=where,
            hint=hint,
        )


def _is_hash(text: object) -> bool:
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")


def _materialize(asset: str, strategy: str, instrument: str, week: date | str) -> str:
    return (
        f"run `vostok materialize {strategy}/{asset} --instrument {instrument} "
        f"--from {week} --to {week}`"
    )


def _bad_pointer(pointer: Place, why: str) -> BundleError:
    strategy, instrument = pointer.parent.name, pointer.name
    return BundleError(
        f"the pointer to the bundle in service doesn't read ({why})",
        where=pointer,
        hint=f"run `vostok model list {strategy}`, then {serve_command(strategy, instrument)} for "
        "the week that was in service",
    )


def serve_command(strategy: str, instrument: str, week: date | str = "WEEK") -> str:
    """The command that puts a promoted model of a week back into service."""
    return f"`vostok model serve {strategy} --instrument {instrument} --week {week} --why TEXT`"
