"""A server for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fetching.archive_server import ArchiveServer


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    """An archive without files."""
    with ArchiveServer() as running:
        yield running
