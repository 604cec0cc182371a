"""A night's steps up to the facts and the accounts, without any number of the metric.

Belongs here: the quick half of a night for tests of what comes in. Does not belong here: whole
nights (tests/driver.py).
"""

from pathlib import Path
from typing import Any

from pipelines import accounts, night, warehouse
from pipelines.night import Night
from tests import driver


def load(data: Path) -> Night:
    """Landing to fact.* and ops.files, ops.rejects, ops.money in the build file."""
    work = night.prepare(driver.places(data))
    with warehouse.build(work.settings.build):
        driver.fill(work)
        accounts.account_for(work)
    return work


def query(data: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of the build file."""
    with warehouse.build(driver.places(data).build) as con:
        return con.execute(sql).fetchall()
