"""Where the embedded exchanges that belong to a lake keep themselves."""

from __future__ import annotations

from pathlib import Path

SETUP_FILE, ADDRESS_FILE = "setup.json", "address.json"
"""In an exchange's folder: how it is set up, and while it runs, its address."""


def own_exchange(lake: Path) -> Path:
    """The folder of the lake's own exchange."""
    return lake / "exchange"


def demo_exchange(lake: Path) -> Path:
    """The folder of the exchange that the demo leaves."""
    return lake / "demo" / "exchange"


def exchange_folder(lake: Path) -> Path:
    """The folder of the lake's exchange: its own, or where it has none, the demo's."""
    own, demo = own_exchange(lake), demo_exchange(lake)
    return own if (own / SETUP_FILE).exists() or not (demo / SETUP_FILE).exists() else demo
