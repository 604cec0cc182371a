"""The product against the judge: small nasty worlds, every team, every clock, tolerance 0."""

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from pipelines import settings
from tests import driver, reference, strategies
from tests.reference import Evaluation, TeamRow

QUICK, SEEDS = 4, "CLOUDBOUND_TEST_SEEDS"
COLUMNS = """team_id, subscribed_on, integrated_on, state_at_t0, moved_on, moved_after_t0_on,
censored_on, team_class, churned_on, after_churn, merged_into, merged_on, merged_into_native"""


def _seeds() -> list[int]:
    import os

    return list(range(int(os.environ.get(SEEDS) or QUICK)))


def reference_with(folder: Path) -> Path:
    """The reference files with the random worlds' own exchange rates."""
    shutil.copytree(settings.CHECKOUT / "data" / "reference", folder)
    lines = ["currency,valid_from,valid_to,cny_per_unit,source"]
    for rate in strategies.RATES:
        until = rate.valid_to + timedelta(days=1)
        lines.append(f"{rate.currency},{rate.valid_from},{until},{rate.cny},test")
    (folder / "fx.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def _expected(row: TeamRow) -> tuple[object, ...]:
    return (
        row.team_id, row.subscribed_on, row.integrated_on, row.state_at_t0, row.moved_on,
        row.converted_on, row.censored_on, row.team_class, row.churned_on, row.after_churn,
        row.merged_into, row.merged_on, row.merged_into_native,
    )  # fmt: skip


@pytest.fixture(params=_seeds())
def seed(request: pytest.FixtureRequest) -> Iterator[int]:
    yield request.param


def test_every_team_equals_the_judge_on_every_clock(seed: int, tmp_path: Path) -> None:
    world = strategies.make_world(seed)
    strategies.write_landing(world, tmp_path / "landing", files=3, shuffle_seed=seed)
    folder = reference_with(tmp_path / "reference")
    for number, (as_of, known_at) in enumerate(strategies.clocks(world, seed)):
        judged = reference.evaluate(world, reference.Definition(), as_of, known_at)
        driver.run(tmp_path, as_of, known_at, folder, run_id=f"{seed}-{number}")
        clock = driver.query(tmp_path, "select as_of, data_complete_on from ops.clock")
        assert clock == [(judged.as_of, judged.data_complete_on)]
        found = {r[0]: r for r in driver.query(tmp_path, f"select {COLUMNS} from journey.teams")}
        assert found == {t: _expected(row) for t, row in judged.teams.items()}
        _same_numbers(judged, tmp_path)
        _same_net(judged, tmp_path)


def _same_numbers(judged: Evaluation, data: Path) -> None:
    share = reference.headline(judged)
    mature = reference.mature_rate(judged)
    itt = reference.intention_to_treat(judged)
    found = driver.query(
        data,
        """select teams, moved, at_risk, share, ci_low, ci_high, mature_teams, mature_moved,
        mature_share, itt_teams, itt_moved, itt_at_risk, itt_share, itt_ci_low, itt_ci_high
        from metric.headline where is_headline""",
    )[0]
    expected = (
        share.teams, share.moved, share.at_risk, share.share, share.ci_low, share.ci_high,
        mature.teams, mature.moved, mature.share,
        itt.teams, itt.moved, itt.at_risk, itt.share, itt.ci_low, itt.ci_high,
    )  # fmt: skip
    assert found == pytest.approx(expected, abs=1e-9)


def _same_net(judged: Evaluation, data: Path) -> None:
    """Net by team, day and family, to the 9th decimal: vouchers and rates included."""
    rows = driver.query(
        data,
        """select team_id, usage_on, family, sum(net_cny) from fact.charge_days
        where family <> 'credit' and usage_on < (select as_of from ops.clock)
        group by all having sum(net_cny) <> 0""",
    )
    known = {"deploy", "storage", "database", "observability"}
    found: dict[tuple[object, object, str], float] = {}
    for team, day, family, net in rows:
        assert isinstance(day, date)
        key = (team, day, str(family) if family in known else "other")
        found[key] = found.get(key, 0.0) + float(str(net))
    expected: dict[tuple[object, object, str], float] = {}
    for (team, day, family), net in judged.facts.net.items():
        key = (team, day, family if family in known else "other")
        expected[key] = expected.get(key, 0.0) + float(net)
    keys = found.keys() | {k for k, v in expected.items() if abs(v) > 1e-9}
    differing = {
        k: (found.get(k, 0.0), expected.get(k, 0.0))
        for k in keys
        if abs(found.get(k, 0.0) - expected.get(k, 0.0)) > 1e-6
    }
    assert differing == {}
