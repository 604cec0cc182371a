"""Proof C in small; python -m tests.coverage is the long one, its result is in docs/metric.md."""

import pytest

from tests import coverage


@pytest.fixture(scope="module")
def verdicts() -> list[coverage.Verdict]:
    return coverage.judge(worlds=200, teams=120, seed=20261124)


def test_intervals_cover_the_planted_share_and_the_bias_is_noise(
    verdicts: list[coverage.Verdict],
) -> None:
    assert len(verdicts) == len(coverage.ESTIMATORS) * 3
    assert [str(v) for v in verdicts if not v.holds] == []
    assert all(v.worlds >= 190 for v in verdicts)


def test_a_wrong_truth_would_be_seen(verdicts: list[coverage.Verdict]) -> None:
    """The bounds are narrow enough to tell the headline from 3 points more."""
    for verdict in verdicts:
        assert abs(verdict.bias - 0.03) > verdict.allowed_bias
