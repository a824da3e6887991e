"""`python -m vostok_live` is `vostok-live`."""

from vostok_live.cli import main

main()
