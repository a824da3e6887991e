"""`vostok` and `python -m vostok`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line on the arguments of this process."""
    try:
        from vostok.cli.app import app

        app(prog_name="vostok")
    except KeyboardInterrupt:  # before a command has begun
        sys.exit(130)


if __name__ == "__main__":
    main()
