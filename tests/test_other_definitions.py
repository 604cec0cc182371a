"""The rules under other definitions: the grid, and old and new series side by side."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines import definition, headline
from pipelines.errors import UsageError
from pipelines.settings import CHECKOUT
from tests import driver
from tests.hand import world

WEEKS = """select week_on, horizon_days, teams, moved, at_risk, share, mature_teams, mature_moved
from metric.definition_series where definition = '{}' order by all"""


GRID = "select * exclude (fields_changed, definition) from metric.definition_grid order by all"


class Printed(NamedTuple):
    """The data folder, the folder of the second definition, the first print's cohorts and grid."""

    data: Path
    changed: Path
    first: list[tuple[object, ...]]
    first_grid: list[tuple[object, ...]]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Printed:
    """A world printed under the shipped definition, then under one with a lower habit."""
    data = tmp_path_factory.mktemp("definitions")
    world.write(data / "landing")
    driver.run(data, run_id="first")
    first = driver.query(data, WEEKS.format(_definition(CHECKOUT / "data" / "reference").hash))
    first_grid = driver.query(data, GRID)
    changed = data / "reference"
    shutil.copytree(CHECKOUT / "data" / "reference", changed)
    path = changed / "definition.toml"
    text = path.read_text("utf-8")
    assert text.count("\nactive_days = 5") == 1
    path.write_text(text.replace("\nactive_days = 5", "\nactive_days = 3"), "utf-8")
    driver.run(data, reference=changed, run_id="second")
    return Printed(data, changed, first, first_grid)


def _definition(reference: Path) -> definition.Definition:
    return definition.load(reference / "definition.toml")


def test_old_and_new_series_stand_side_by_side(printed: Printed) -> None:
    data, changed, first, _ = printed
    old, new = _definition(CHECKOUT / "data" / "reference"), _definition(changed)
    assert first
    assert driver.query(data, WEEKS.format(old.hash)) == first
    published = driver.query(
        data,
        """select "value"::date, horizon_days, teams, moved, at_risk, share, mature_teams,
        mature_moved from metric.conversion where population = 'nsm' and "by" = 'week' order by all""",
    )
    assert driver.query(data, WEEKS.format(new.hash)) == published != first
    current = "select distinct definition, is_current from metric.definition_series order by 2"
    assert driver.query(data, current) == [(old.hash, False), (new.hash, True)]


def test_the_grid_multiplies_out_and_agrees_with_a_run_of_its_own(printed: Printed) -> None:
    data, changed, *_ = printed
    rows = driver.query(
        data, "select count(*), count(distinct definition) from metric.definition_grid"
    )
    assert rows == [(4 * 3 * 3 * 4, 4 * 3 * 3)]
    places = driver.places(data, changed)
    for fields in ({"floor_cny = 30.00": "floor_cny = 100"}, {"billable_days = 21": "billable_days = 14", "\nactive_days = 3": "\nactive_days = 8"}):  # fmt: skip
        text = (changed / "definition.toml").read_text("utf-8")
        for old, new in fields.items():
            assert text.count(old) == 1
            text = text.replace(old, new)
        path = data / "other.toml"
        path.write_text(text, "utf-8")
        other = headline.read(places, 90, None, path)
        found = driver.query(
            data,
            f"""select teams, moved, at_risk, share, fields_changed from metric.definition_grid
            where definition = '{other["definition"]}' and horizon_days = 90""",
        )
        assert found == [tuple(other[k] for k in ("teams", "moved", "at_risk", "share")) + (len(fields),)]  # fmt: skip


def test_the_grid_is_the_same_whichever_of_its_definitions_is_in_force(printed: Printed) -> None:
    """Also for teams whose habit only another definition sees."""
    lowest = [sum(row[4] for row in printed.first_grid if row[2] == habit) for habit in (3, 5)]  # type: ignore[misc]
    assert lowest[0] > lowest[1] > 0
    assert driver.query(printed.data, GRID) == printed.first_grid


def test_a_definition_of_another_zone_needs_a_night(printed: Printed) -> None:
    data, changed, *_ = printed
    text = (changed / "definition.toml").read_text("utf-8")
    path = data / "zone.toml"
    path.write_text(text.replace('zone = "Asia/Shanghai"', 'zone = "UTC"'), "utf-8")
    with pytest.raises(UsageError, match="run a night with it"):
        headline.read(driver.places(data, changed), 90, None, path)


def test_a_stored_definition_reads_back() -> None:
    current = _definition(CHECKOUT / "data" / "reference")
    assert definition.from_json(definition.to_json(current)) == current
    assert definition.from_json('{"version": "of another time"}') is None
