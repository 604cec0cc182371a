"""How long an ordered funnel takes, beside a DuckDB scan of the same columns.

    python -m benchmarks.bench_funnel [EVENTS] [--entities N] [--text]

Every engine starts from the same parquet file, in turn, each in a process of its own; medians.
ClickHouse's windowFunnel runs beside it where `chdb` can be imported, and must give equal counts.
"""

import importlib
import importlib.util
import tempfile
from functools import partial
from pathlib import Path

import click
import duckdb
import numpy as np
import polars as pl

from benchmarks import measure
from pipelines.funnel.count import funnel
from pipelines.funnel.definition import parse_window
from pipelines.funnel.events import load_events

STEPS = ("subscribed", "integrated", "tried_cloud", "moved")
EVENTS = (*STEPS, "refused", "renewed", "upgraded", "asked")
WINDOW_US = parse_window("14d")
DAYS = 365


def write_events(path: Path, events: int, entities: int, text: bool) -> None:
    """Uniform microsecond times over a year, entities in no order."""
    rng = np.random.default_rng(7)
    frame = pl.DataFrame(
        {
            "entity": rng.integers(0, entities, events),
            "event": pl.Series(rng.integers(0, len(EVENTS), events).astype(np.uint32)),
            "at": rng.integers(0, DAYS * 86_400_000_000, events) + 1_704_067_200_000_000,
        }
    )
    entity = pl.concat_str(pl.lit("team-"), "entity") if text else pl.col("entity")
    frame.select(
        entity.alias("entity"),
        pl.lit(pl.Series(EVENTS)).gather(pl.col("event")).alias("event"),
        pl.col("at").cast(pl.Datetime("us", "UTC")),
    ).write_parquet(path)


def scan(path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            'select bit_xor(hash(entity, event, "at")) from read_parquet(?)', [str(path)]
        ).fetchall()


def count(path: Path) -> list[int]:
    return funnel(load_events(path), STEPS, window_us=WINDOW_US)[0].reached


def count_in_clickhouse(path: Path) -> list[int]:
    chdb = importlib.import_module("chdb")
    conditions = ", ".join(f"event = '{step}'" for step in STEPS)
    answer = chdb.query(
        f"""
        select {", ".join(f"countIf(level >= {k + 1})" for k in range(len(STEPS)))}
        from (
            select windowFunnel({WINDOW_US})(toUInt64(toUnixTimestamp64Micro(at)), {conditions})
                as level
            from file('{path}', Parquet)
            group by entity
        )
        """,
        "CSV",
    )
    return [int(number) for number in str(answer).strip().split(",")]


@click.command()
@click.argument("events", type=click.IntRange(min=1), default=10_000_000)
@click.option("--entities", type=click.IntRange(min=1), help="Default: a tenth of the events.")
@click.option("--text", is_flag=True, help="Entities are text instead of whole numbers.")
@click.option("--runs", type=click.IntRange(min=1), default=3)
def main(events: int, entities: int | None, text: bool, runs: int) -> None:
    """Time an ordered funnel of 4 steps within 14 days over EVENTS events."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.parquet"
        write_events(path, events, entities or max(1, events // 10), text)
        works = {"DuckDB scan": partial(scan, path), "Cloudbound": partial(count, path)}
        base = "DuckDB scan"
        if importlib.util.find_spec("chdb") is not None:
            works["ClickHouse windowFunnel"] = partial(count_in_clickhouse, path)
            base = "ClickHouse windowFunnel"
        found = measure.in_turn(works, runs)
        answers = {str(cost.answer) for name, cost in found.items() if name != "DuckDB scan"}
        kind = "text" if text else "integer"
        click.echo(
            f"{events:,} events of {kind} entities; {measure.load()}; reached {answers.pop()}, "
            f"same answer: {not answers}"
        )
        click.echo(measure.table(found, events, base))


if __name__ == "__main__":
    main()
