"""Gate profiles: what a decision was made by, and the hash that names it.

The profile itself is a section of `vostok.toml` (`vostok_core.settings.GateProfile`).
"""

from __future__ import annotations

from vostok_core.hashing import hash_value
from vostok_core.settings import GateProfile

RULES_VERSION = "3"
"""Changes whenever a rule comes or goes, or judges the same evidence and bound differently."""


def profile_hash(profile: GateProfile) -> str:
    """First 16 hex digits of the SHA-256 of the rules' version and of every bound, defaults in.

    Decisions of the same hash were made by the same rules with the same bounds.
    """
    named = {"rules": RULES_VERSION, "bounds": profile.model_dump(mode="json")}
    return hash_value(named)[:16]
