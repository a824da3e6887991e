"""Bundles and a small project for the tests of what they lie on."""

from tests.models.conftest import bundle_of, fitted  # noqa: F401  (fixtures)
from tests.pipelines.conftest import history  # noqa: F401  (a fixture)
