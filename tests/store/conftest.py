"""Bundles for the tests of what they lie on."""

from tests.models.conftest import bundle_of, fitted  # noqa: F401  (fixtures)
