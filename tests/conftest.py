"""Options of the suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--mutants N``."""
    parser.addoption("--mutants", type=int, default=300, help="damaged copies to read of each label format (default: 300)")


@pytest.fixture
def mutants(request: pytest.FixtureRequest) -> int:
    """Damaged copies to read of each format."""
    return int(request.config.getoption("--mutants"))
