from __future__ import annotations

import hashlib
import json
from datetime import date

import pytest

from vostok_core.errors import BundleError
from vostok_core.models.bundle_folder import load_bundle, load_kept, write_bundle
from vostok_core.models.registry import (
    Promotion,
    bundle_path,
    keep,
    may_enter,
    pointer_path,
    promoted,
    promotion,
    put_in_service,
)

WEEK = date(2024, 3, 4)
LATER = date(2024, 3, 11)
PLACE = ("alpha", "test.spot.AAA-USD")
AT = 1_709_512_200_000_000


def promote(lake, strategy: str, instrument: str, week: date, gate: bytes = b"{}") -> Promotion:
    """Keep the week's bundle, whatever it is, and put it in service."""
    manifest = bundle_path(lake, strategy, instrument, week) / "manifest.json"
    sha256 = hashlib.sha256(manifest.read_bytes()).hexdigest()
    kept = keep(lake, strategy, instrument, week, sha256=sha256, gate=gate)
    put_in_service(lake, kept, at=AT)
    return kept


def test_the_path_of_a_bundle_names_its_keys(lake) -> None:
    path = bundle_path(lake, *PLACE, WEEK).relative_to(lake.root)
    assert str(path) == (
        "models/strategy=alpha/instrument=test.spot.AAA-USD/week=2024-03-04/bundle"
    )


def test_nothing_is_in_service_at_first(lake) -> None:
    assert promoted(lake, *PLACE) is None
    assert may_enter(lake, *PLACE, WEEK)


def test_what_is_promoted_stays_in_service_when_the_week_is_trained_again(lake, bundle_of) -> None:
    first = bundle_of()
    write_bundle(bundle_path(lake, *PLACE, WEEK), first)
    promote(lake, *PLACE, WEEK)
    write_bundle(bundle_path(lake, *PLACE, WEEK), bundle_of(mean_win=0.5))
    found = promoted(lake, *PLACE)
    assert found is not None
    assert found.sha256 == first.sha256


def test_a_later_promotion_takes_over(lake, bundle_of) -> None:
    write_bundle(bundle_path(lake, *PLACE, WEEK), bundle_of())
    promote(lake, *PLACE, WEEK)
    newer = bundle_of(week=str(LATER))
    write_bundle(bundle_path(lake, *PLACE, LATER), newer)
    made = promote(lake, *PLACE, LATER)
    assert promotion(lake, *PLACE) == made
    assert made.manifest_sha256 == newer.sha256
    beside = sorted(p.name for p in pointer_path(lake, *PLACE).parent.iterdir())
    assert beside == [f".{PLACE[1]}.lock", PLACE[1]]


def test_an_old_week_promoted_anew_does_not_take_over(lake, bundle_of) -> None:
    older, newer = bundle_of(), bundle_of(week=str(LATER))
    write_bundle(bundle_path(lake, *PLACE, WEEK), older)
    write_bundle(bundle_path(lake, *PLACE, LATER), newer)
    promote(lake, *PLACE, LATER)
    kept = promote(lake, *PLACE, WEEK)
    assert promoted(lake, *PLACE).sha256 == newer.sha256
    assert put_in_service(lake, kept, at=AT) is False
    assert may_enter(lake, *PLACE, LATER)
    assert not may_enter(lake, *PLACE, WEEK)


def test_keeping_a_bundle_puts_nothing_in_service_and_can_be_repeated(lake, bundle_of) -> None:
    bundle = bundle_of()
    write_bundle(bundle_path(lake, *PLACE, WEEK), bundle)
    for report in (b"{}", b"{}", b'{"again": 1}'):
        kept = keep(lake, *PLACE, WEEK, sha256=bundle.sha256, gate=report)
        assert promotion(lake, *PLACE) is None
        found, gate = load_kept(lake.root / kept.bundle, sha256=bundle.sha256)
        assert (found.sha256, gate) == (bundle.sha256, report)
    with pytest.raises(BundleError, match="was asked for"):
        keep(lake, *PLACE, WEEK, sha256="0" * 64, gate=b"{}")


@pytest.mark.parametrize("name", ["gate.json", "gate.sha256"])
def test_a_kept_bundle_without_its_gate_report_as_written_is_not_served(
    lake, bundle_of, name: str
) -> None:
    write_bundle(bundle_path(lake, *PLACE, WEEK), bundle_of())
    file = lake.root / promote(lake, *PLACE, WEEK).bundle / name
    with pytest.raises(BundleError, match="not in the manifest"):
        load_bundle(file.parent)
    content = file.read_bytes()
    file.write_bytes(content + b" ")
    with pytest.raises(BundleError, match="does not match"):
        promoted(lake, *PLACE)
    file.unlink()
    with pytest.raises(BundleError, match="missing"):
        promoted(lake, *PLACE)
    file.write_bytes(content)
    assert promoted(lake, *PLACE) is not None


def test_a_bundle_of_another_week_or_owner_is_not_promoted(lake, bundle_of) -> None:
    write_bundle(bundle_path(lake, *PLACE, WEEK), bundle_of(week="2024-03-11"))
    with pytest.raises(BundleError, match="of week 2024-03-11") as caught:
        promote(lake, *PLACE, WEEK)
    again = f"run `vostok materialize {PLACE[0]}/model --instrument {PLACE[1]} --from {WEEK}"
    assert caught.value.hint == f"{again} --to {WEEK}`"
    write_bundle(bundle_path(lake, *PLACE, WEEK), bundle_of(strategy="beta"))
    with pytest.raises(BundleError, match="of beta"):
        promote(lake, *PLACE, WEEK)
    assert promoted(lake, *PLACE) is None


def test_a_tampered_bundle_is_neither_promoted_nor_served(lake, bundle_of) -> None:
    source = bundle_path(lake, *PLACE, WEEK)
    write_bundle(source, bundle_of())
    made = promote(lake, *PLACE, WEEK)
    for folder, act in (
        (source, lambda: promote(lake, *PLACE, WEEK)),
        (lake.root / made.bundle, lambda: promoted(lake, *PLACE)),
    ):
        path = folder / "arrays.npz"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(BundleError, match=r"arrays.npz was altered"):
            act()


def test_hint_for_a_tampered_bundle_says_what_mends_it_in_full(lake, bundle_of) -> None:
    source = bundle_path(lake, *PLACE, WEEK)
    write_bundle(source, bundle_of())
    made = promote(lake, *PLACE, WEEK)

    def hint(asset: str) -> str:
        over = f"--instrument {PLACE[1]} --from {WEEK} --to {WEEK}"
        return f"run `vostok materialize {PLACE[0]}/{asset} {over}`"

    (lake.root / made.bundle / "golden.npz").unlink()
    with pytest.raises(BundleError) as caught:
        promoted(lake, *PLACE)
    assert caught.value.hint == f"{hint('promotion')}, and don't edit bundles"
    promote(lake, *PLACE, WEEK)  # which is what that asset does
    assert promoted(lake, *PLACE) is not None
    (source / "golden.npz").unlink()
    with pytest.raises(BundleError) as caught:
        promote(lake, *PLACE, WEEK)
    assert caught.value.hint == f"{hint('model')} again, and don't edit bundles"
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle_path(lake, *PLACE, LATER))
    assert caught.value.hint == f"{hint('model')} first".replace(str(WEEK), str(LATER))


@pytest.mark.parametrize(
    "changes",
    [
        {"bundle": "../../elsewhere"},
        {"bundle": "/tmp/elsewhere"},
        {"manifest_sha256": "../../.."},
        {"manifest_sha256": 7},
        {"surprise": 1},
        {"week": "soon"},
        {"week": 7},
    ],
)
def test_a_pointer_that_points_elsewhere_is_refused(lake, bundle_of, changes: dict) -> None:
    write_bundle(bundle_path(lake, *PLACE, WEEK), bundle_of())
    promote(lake, *PLACE, WEEK)
    pointer = pointer_path(lake, *PLACE)
    pointer.write_text(json.dumps({**json.loads(pointer.read_text()), **changes}))
    with pytest.raises(BundleError, match="pointer"):
        promoted(lake, *PLACE)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", "\x00"])
def test_a_pointer_that_is_no_pointer_is_refused(lake, text: str) -> None:
    pointer = pointer_path(lake, *PLACE)
    pointer.parent.mkdir(parents=True)
    pointer.write_text(text)
    with pytest.raises(BundleError, match="pointer") as caught:
        promoted(lake, *PLACE)
    assert f"`vostok model serve {PLACE[0]} --instrument {PLACE[1]} " in str(caught.value)


def test_a_bundle_moved_to_another_strategys_pointer_is_refused(lake, bundle_of) -> None:
    write_bundle(bundle_path(lake, *PLACE, WEEK), bundle_of())
    promote(lake, *PLACE, WEEK)
    other = pointer_path(lake, "beta", PLACE[1])
    other.parent.mkdir(parents=True)
    other.write_bytes(pointer_path(lake, *PLACE).read_bytes())
    with pytest.raises(BundleError, match="not of beta"):
        promoted(lake, "beta", PLACE[1])
