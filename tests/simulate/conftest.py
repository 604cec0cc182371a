"""Worlds shared by the tests of the simulator; the brute-force reading lies beside this file."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pipelines.simulate.world import SimulationSummary, simulate


@pytest.fixture(scope="session")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> SimulationSummary:
    """A small, very dirty world."""
    out = tmp_path_factory.mktemp("dirty") / "landing"
    return simulate(out, teams=1000, days=200, seed=12, dirt=1.0, processes=1)


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> SimulationSummary:
    """The same world without dirt."""
    out = tmp_path_factory.mktemp("clean") / "landing"
    return simulate(out, teams=1000, days=200, seed=12, dirt=0.0, processes=1)
