"""Where bundles lie in the lake, and which one is in service.

models/strategy=…/instrument=…/week=…/bundle/   the week's model, made again when it is retrained
models/bundles/<manifest sha256>/               promoted models, which never change, and why
models/promoted/<strategy>/<instrument>         a JSON file: which of those is in service

In an object store each of the folders is one object, `bundle.zip` or `<manifest sha256>.zip`.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import date

from vostok_core.errors import BundleError
from vostok_core.lake.address import Place
from vostok_core.lake.objects import UNWRITTEN
from vostok_core.lake.store import Lake
from vostok_core.models.bundle import Bundle
from vostok_core.models.bundle_folder import keep_bundle, load_bundle, load_kept
from vostok_core.models.manifest import AGAIN


@dataclass(frozen=True)
class Promotion:
    """What the pointer says: the bundle's folder, relative to the lake, its hash and week."""

    strategy: str
    instrument: str
    week: str
    bundle: str
    manifest_sha256: str


def bundle_path(lake: Lake, strategy: str, instrument: str, week: date) -> Place:
    """The folder of a week's bundle."""
    return lake.objects.place(
        f"models/strategy={strategy}/instrument={instrument}/week={week}/bundle"
    )


def kept_path(lake: Lake, sha256: str) -> Place:
    """The folder of a bundle that was promoted, by the hash of its manifest."""
    return lake.objects.place(f"models/bundles/{sha256}")


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
    return Promotion(strategy, instrument, str(week), f"models/bundles/{sha256}", sha256)


def put_in_service(lake: Lake, found: Promotion) -> bool:
    """Point at a kept bundle, unless one of a later week is in service.

    Args:
        lake: The lake.
        found: What `keep` returned.

    Returns:
        Whether it is in service now.

    Raises:
        BundleError: The pointer that is there doesn't read.
        Conflict: Somebody else moved it meanwhile.
    """
    text = json.dumps(asdict(found), sort_keys=True, indent=1) + "\n"
    with changing_service(lake, found.strategy, found.instrument):
        current, tag = _read_pointer(lake, found.strategy, found.instrument)
        if not _enters(current, found.week):
            return False
        lake.objects.put_if(_pointer(found.strategy, found.instrument), text.encode(), tag)
    return True


def changing_service(lake: Lake, strategy: str, instrument: str) -> AbstractContextManager[None]:
    """For the time of a block, nobody else changes what is in service: what `may_enter` said in it
    stays true."""
    return lake.sole_writer(_pointer(strategy, instrument))


def may_enter(lake: Lake, strategy: str, instrument: str, week: date | str) -> bool:
    """Whether no bundle of a later week is in service: deciding an old week anew changes nothing.

    Raises:
        BundleError: The pointer doesn't read.
    """
    return _enters(promotion(lake, strategy, instrument), week)


def _enters(current: Promotion | None, week: date | str) -> bool:
    return current is None or date.fromisoformat(current.week) <= date.fromisoformat(str(week))


def promotion(lake: Lake, strategy: str, instrument: str) -> Promotion | None:
    """What the pointer says, or None when nothing is in service.

    Raises:
        BundleError: The pointer doesn't read, or points out of the lake's models.
    """
    return _read_pointer(lake, strategy, instrument)[0]


def _read_pointer(lake: Lake, strategy: str, instrument: str) -> tuple[Promotion | None, str]:
    """What the pointer says, and the tag of what says it."""
    pointer = pointer_path(lake, strategy, instrument)
    try:
        content, stat = lake.objects.read(_pointer(strategy, instrument))
    except FileNotFoundError:
        return None, UNWRITTEN
    except OSError as error:
        raise _bad_pointer(pointer, str(error)) from None
    try:
        found = Promotion(**json.loads(content.decode()))
        date.fromisoformat(found.week)
    except (ValueError, TypeError) as error:
        raise _bad_pointer(pointer, str(error)) from None
    if found.bundle != f"models/bundles/{found.manifest_sha256}" or not _is_hash(
        found.manifest_sha256
    ):
        raise _bad_pointer(pointer, f"{found.bundle!r} is not a promoted bundle")
    return found, stat.tag


def promoted(lake: Lake, strategy: str, instrument: str) -> Bundle | None:
    """The verified bundle in service, or None.

    Raises:
        BundleError: The pointer or the bundle can't be trusted.
    """
    found = promotion(lake, strategy, instrument)
    if found is None:
        return None
    folder = kept_path(lake, found.manifest_sha256)
    again = _materialize("promotion", strategy, instrument, found.week)
    try:
        bundle, _ = load_kept(folder, sha256=found.manifest_sha256)
    except BundleError as error:
        if error.hint == AGAIN:  # the folder doesn't say whose it is, and the pointer does
            error.hint = f"{again}, and don't edit bundles"
        raise
    _check_owner(bundle, strategy, instrument, folder, again)
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
    again = _materialize("promotion", pointer.parent.name, pointer.name, "WEEK")
    return BundleError(
        f"the pointer to the bundle in service doesn't read ({why})",
        where=pointer,
        hint=f"delete it, then {again} for the week that was in service",
    )
