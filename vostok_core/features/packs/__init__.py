"""The built-in packs. Importing this package registers them; a new pack is added here."""

from __future__ import annotations

from vostok_core.features.packs.core import CORE
from vostok_core.features.packs.sentiment import SENTIMENT

__all__ = ["CORE", "SENTIMENT"]
