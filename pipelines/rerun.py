"""The rules once more under another definition, over the facts that are there.

Belongs here: running the journey and metric files beside a build or published file.
Does not belong here: any rule (sql/), or the night's own tables (night.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipelines import sql_assets, warehouse
from pipelines.definition import Definition

# One field is changed at a time, so that each line says what that rule alone is worth.
GRID: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
    ("floor_cny", "qualifying_floor_cny", tuple(Decimal(v) for v in (0, 10, 30, 100))),
    ("billable_days", "qualifying_billable_days", (14, 21, 26)),
    ("habit_active_days", "habit_active_days", (3, 5, 8)),
)
_FOR_THE_SHARE = "metric.headline"


@contextmanager
def under(
    path: Path, definition: Definition, target: str | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A session whose journey and metric tables follow the given definition.

    The clocks are those of the file; C moves with the definition's lag and window. With a
    target only the tables that it needs are made.
    """
    with warehouse.beside(path) as con:
        clock = warehouse.one(con, "select as_of, known_at from ops.clock")
        assert clock is not None
        days = definition.lag_days + definition.qualifying_window_days
        bound = definition.parameters() | {
            "as_of": clock[0],
            "known_at": clock[1],
            "data_complete_on": clock[0] - timedelta(days=days),
        }
        for asset in _needed(target):
            sql_assets.run(con, asset, bound)
        warehouse.install_macros(con, over_tables=target is None)
        yield con


def _needed(target: str | None) -> list[sql_assets.SqlAsset]:
    rules = [a for a in sql_assets.load_all() if a.schema in ("journey", "metric")]
    if target is None:
        return rules
    by_name = {a.name: a for a in rules}
    wanted, found = [target], set[str]()
    while wanted:
        name = wanted.pop()
        if name in by_name and name not in found:
            found.add(name)
            wanted += by_name[name].depends_on
    return [a for a in rules if a.name in found]


def grid(path: Path, base: Definition) -> pl.DataFrame:
    """parameter, value, definition, horizon_days, teams, moved, at_risk, share, ci_low, ci_high.

    One row per changed field, value and horizon; the base definition is among them.
    """
    headlines: dict[str, pl.DataFrame] = {}
    frames = []
    for name, field, values in GRID:
        for value in values:
            changed = base.with_fields(**{field: value})
            if changed.hash not in headlines:
                headlines[changed.hash] = _headline(path, changed)
            frames.append(
                headlines[changed.hash].select(
                    pl.lit(name).alias("parameter"),
                    pl.lit(str(value)).alias("value"),
                    pl.lit(changed.hash == base.hash).alias("is_base"),
                    pl.all(),
                )
            )
    return pl.concat(frames)


def _headline(path: Path, definition: Definition) -> pl.DataFrame:
    with under(path, definition, _FOR_THE_SHARE) as con:
        return warehouse.frame(
            con,
            "select definition, horizon_days, teams, moved, at_risk, share, ci_low, ci_high "
            "from metric.headline order by horizon_days",
        )
