"""`python -m vostok_exchange`."""

from __future__ import annotations

from vostok_exchange.cli import main

if __name__ == "__main__":
    main()
