"""Which engine rolls request days up: polars in this process, or a Spark cluster.

Belongs here: the names of engines and what each is handed at once.
Does not belong here: how an engine works (requests.py, spark.py), what is counted (aggregates.py).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipelines.lake import Days
from pipelines.reference import Reference
from pipelines.rollup import requests
from pipelines.rollup.requests import RequestFacts

RollUp = Callable[[Days, Path, pl.DataFrame, Reference], RequestFacts]


@dataclass(frozen=True)
class Engine:
    """roll_up(days, lake, team_spans, reference), and the rows that it takes at once."""

    roll_up: RollUp
    rows_per_batch: int


@contextmanager
def opened(name: str) -> Iterator[Engine]:
    """The engine of this name (settings.engine), closed afterwards.

    Raises UsageError when Spark, Java or the master is not there.
    """
    if name == "polars":
        yield Engine(requests.roll_up, 1_000_000)
        return
    from pipelines.rollup import spark

    with spark.session(name) as session:
        yield Engine(session.roll_up, 20_000_000)
