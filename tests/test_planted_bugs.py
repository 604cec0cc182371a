"""Planted bugs in the Python rooms and the reference files: each one changes what the hand-written
world prints, or stops its night.

Belongs here: one textual change per bug that somebody could make between landing and facts.
Does not belong here: bugs in sql/ (tests/sql/mutations.yaml).

The list of docs/metric.md is here and there: no de-duplication, credits not netted and the plan
fee counted begin in these rooms, the others are rules of sql/.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.settings import CHECKOUT
from tests.hand import world

PRINT = """
select t.team_id, subscribed_on, integrated_on, state_at_t0, moved_on, team_class, churned_on,
    merged_into, merged_on, c.net_cny, r.accepted
from journey.teams as t
left join (select team_id, sum(net_cny) as net_cny from journey.workload_days group by all) as c
    using (team_id)
left join (select team_id, sum(accepted) as accepted from fact.member_days group by all) as r
    using (team_id)
order by 1
"""


@dataclass(frozen=True)
class Bug:
    """In a file of the checkout, text that occurs once (or `times`) becomes another text."""

    name: str
    file: str
    old: str
    new: str
    times: int = 1


BUGS = (
    Bug(
        "no dedupe",
        "pipelines/rollup/numbered.py",
        "key[gone[: np.searchsorted(gone, len(key))]] = -1",
        "pass",
    ),
    Bug(
        "refused is accepted",
        "pipelines/rollup/aggregates.py",
        'is_accepted = _is_on_plan() & (status == "ok")',
        'is_accepted = _is_on_plan() & ((status == "ok") | (status == "refused"))',
    ),
    Bug(
        "any key is the plan",
        "pipelines/rollup/aggregates.py",
        'return nw.col("on_plan").fill_null(True)',
        'return nw.col("on_plan").fill_null(True) | True',
    ),
    Bug(
        "credits without a service are not netted",
        "pipelines/rollup/charges.py",
        "return Ledger(statements, rates, unallocated)",
        "return Ledger(statements, rates.clear(), unallocated)",
    ),
    Bug(
        "older snapshots add up",
        "pipelines/rollup/charges.py",
        "others.filter(is_newest)",
        "others",
    ),
    Bug(
        "billed is the basis everywhere",
        "pipelines/rollup/charges.py",
        'basis = pl.when("has_effective").then("effective").otherwise("billed")',
        'basis = pl.col("billed")',
    ),
    Bug(
        "the plan fee is a workload",
        "data/reference/services.csv",
        ",plan_fee,",
        ",deploy,",
        times=0,
    ),
    Bug(
        "business days of UTC",
        "pipelines/rollup/calendar.py",
        "return instant.dt.convert_time_zone(zone).dt.date()",
        "return instant.dt.date()",
    ),
    Bug(
        "a long charge is its first day's",
        "pipelines/rollup/calendar.py",
        "parts=pl.max_horizontal((length + _DAY - 1) // _DAY, 1)",
        "parts=pl.max_horizontal(length * 0, 1)",
    ),
    Bug(
        "links count from ever",
        "pipelines/rollup/aggregates.py",
        'is_held = (nw.col("usage_on") >= nw.col("from_on")) & (nw.col("usage_on") < nw.col("to_on"))',
        'is_held = nw.col("usage_on") < nw.col("to_on")',
    ),
)


# A night up to the teams, and its accounts; publishing is not what these bugs are about.
NIGHT = """
import sys
from pathlib import Path
from pipelines import night, sql_assets, warehouse
from pipelines.accounts import account_for
from tests import driver
work = night.prepare(driver.places(Path(sys.argv[1])))
driver.fill(work)
night.set_clock(work)
assets = {a.name: a for a in sql_assets.load_all()}
wanted = ["journey.teams"]
for name in wanted:
    wanted += [d for d in assets[name].depends_on if d in assets]
stops = [
    f"{name}: {check.sentence}"
    for name in assets if name in wanted
    for outcome in [night.run_sql(work, assets[name])]
    for check in assets[name].checks if check.stops and outcome.breaches[check.name]
]
accounts = account_for(work)
stops += [name for name, rows in accounts.breaches.items() if rows and "_no_" not in name]
print(stops)
with warehouse.build(work.settings.build) as con:
    print(con.execute(sys.argv[2]).fetchall())
"""


def _print(checkout: Path, data: Path) -> str:
    """The stopping checks that a night of the checkout breaches, and what it says of the teams."""
    done = subprocess.run(
        [sys.executable, "-c", NIGHT, str(data), PRINT],
        cwd=checkout,
        env={"PYTHONPATH": str(checkout), "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    world.write(folder / "landing")
    return folder


@pytest.fixture(scope="module")
def truth(data: Path) -> str:
    return _print(CHECKOUT, data)


@pytest.mark.parametrize("bug", BUGS, ids=[b.name.replace(" ", "_") for b in BUGS])
def test_a_planted_bug_changes_the_print(bug: Bug, data: Path, truth: str, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for part in ("pipelines", "sql", "tests", "data/reference"):
        shutil.copytree(CHECKOUT / part, checkout / part, ignore=shutil.ignore_patterns("*.pyc"))
    target = checkout / bug.file
    text = target.read_text("utf-8")
    assert text.count(bug.old) == bug.times or (bug.times == 0 and bug.old in text), bug.file
    target.write_text(text.replace(bug.old, bug.new), "utf-8")
    # What only decides facts starts from the lake that the sound checkout filled.
    for part in ("landing",) if "calendar" in bug.file else ("landing", "lake"):
        shutil.copytree(data / part, tmp_path / "data" / part)
    assert _print(checkout, tmp_path / "data") != truth
