"""Requests to daily facts beside a plain scan of the same columns of the same files, and peers.

    python -m benchmarks.bench_rollup FOLDER [--days 10] [--rows-per-day 1000000] [--peers]

FOLDER gets a lake of that size (lake_days.py). Every contender starts in a process of its own, in
turn, three times. All give the same member days; ClickHouse (chdb) and DuckDB de-duplicate by
`limit 1 by` and `row_number`, a day at a time, because over all days at once they run out of memory.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import measure
from pipelines import lake, night, settings, warehouse
from pipelines.rollup import requests

Answer = tuple[int, int, int]  # member days, accepted requests, input tokens of accepted requests

COLUMNS = ("request_id", "received_at", "line", *requests.CONTENT)
ORDER = "received_at desc nulls last, " + ", ".join(f"{c} nulls last" for c in requests.CONTENT)
FLAGS = """
    count(*) filter (coalesce(on_plan, true) and status = 'ok') as accepted,
    count(*) filter (coalesce(on_plan, true) and refused_by = '5h') as refused_5h,
    count(*) filter (coalesce(on_plan, true) and refused_by = 'week') as refused_week,
    count(*) filter (coalesce(on_plan, true) and refused_by = 'month') as refused_month,
    count(*) filter (coalesce(on_plan, true) and status = 'throttled') as throttled,
    count(*) filter (coalesce(on_plan, true) and status = 'failed') as failed,
    count(*) filter (not coalesce(on_plan, true)) as off_plan,
    coalesce(sum(input_tokens) filter (coalesce(on_plan, true) and status = 'ok'), 0) as input_tokens,
    coalesce(sum(least(cached_tokens, input_tokens)) filter (coalesce(on_plan, true) and status = 'ok'), 0) as cached_tokens,
    coalesce(sum(output_tokens) filter (coalesce(on_plan, true) and status = 'ok'), 0) as output_tokens
"""
DUCKDB = f"""
with once as materialized (
    from read_parquet($paths) qualify row_number() over (partition by request_id order by {ORDER}) = 1
),
member_days as (select team, member, {FLAGS} from once group by all),
usage_days as (select team, model, task, {FLAGS} from once group by all)
select
    (select count(*) from member_days), (select sum(accepted)::bigint from member_days),
    (select sum(input_tokens)::bigint from usage_days), (select sum(cached_tokens) from usage_days),
    (select max(output_tokens) from member_days), (select max(off_plan) from usage_days)
"""
# ClickHouse has no filter clause on count; the sums are the same.
CLICKHOUSE_FLAGS = """
    countIf(plan and status = 'ok') as accepted,
    countIf(plan and refused_by = '5h') as refused_5h,
    countIf(plan and refused_by = 'week') as refused_week,
    countIf(plan and refused_by = 'month') as refused_month,
    countIf(plan and status = 'throttled') as throttled, countIf(plan and status = 'failed') as failed,
    countIf(not plan) as off_plan, sumIf(input_tokens, plan and status = 'ok') as input_sum,
    sumIf(least(cached_tokens, input_tokens), plan and status = 'ok') as cached_sum,
    sumIf(output_tokens, plan and status = 'ok') as output_sum
"""


def _days(folder: Path) -> Iterator[tuple[lake.Days, list[str]]]:
    entries = lake.inventory(folder / "lake")
    for day, found in lake.days_of(entries, "requests").items():
        yield {day: found}, [str(e.path(folder / "lake", str(day))) for e in found]


def ours(folder: Path) -> Answer:
    places = settings.Settings(folder, settings.CHECKOUT / "data" / "reference")
    work = night.prepare(places)
    spans = night.team_spans(work, [])
    total = [0, 0, 0]
    for day, _ in _days(folder):
        facts = requests.roll_up(day, places.lake, spans, work.reference)
        sums = (
            facts.member_days.select("accepted").sum().item(),
            facts.usage_days["input_tokens"].sum(),
        )
        for at, more in enumerate((facts.member_days.height, *sums)):
            total[at] += more
        del facts  # as a night lets go of a batch before the next
    return total[0], total[1], total[2]


def scan(folder: Path) -> int:
    paths = [path for _, found in _days(folder) for path in found]
    columns = ", ".join(f"min({c})" for c in COLUMNS)
    with warehouse.scratch() as con:
        con.execute("set enable_progress_bar = false")
        row = con.execute(f"select count(*), {columns} from read_parquet($paths)", {"paths": paths})
        return int(row.fetchall()[0][0])


def duckdb_rollup(folder: Path) -> Answer:
    total = [0, 0, 0]
    with warehouse.scratch() as con:
        con.execute("set memory_limit = '4GB'")
        con.execute("set enable_progress_bar = false")
        for _, paths in _days(folder):
            row = con.execute(DUCKDB, {"paths": paths}).fetchall()[0]
            total = [a + int(b) for a, b in zip(total, row, strict=False)]
    return total[0], total[1], total[2]


def clickhouse(folder: Path) -> Answer:
    import chdb

    total = [0, 0, 0]
    order = ORDER.replace(" nulls last", "")
    for _, paths in _days(folder):
        names = Path(paths[0]).parent / ("{" + ",".join(Path(p).name for p in paths) + "}")
        query = f"""
            with once as (
                select *, coalesce(on_plan, true) as plan from file('{names}', Parquet)
                order by {order} limit 1 by request_id
            ),
            -- Materialised once: a subquery named twice would be read twice.
            kinds as (
                select team, member, model, task, {CLICKHOUSE_FLAGS} from once
                group by grouping sets ((team, member), (team, model, task))
            )
            select countIf(model = ''), sumIf(accepted, model = ''), sumIf(input_sum, model <> '') from
            (select team, coalesce(member, '') as member, coalesce(model, '') as model, accepted,
                input_sum, cached_sum, output_sum, off_plan from kinds)
        """
        answer = str(chdb.query(query, "CSV")).strip().split(",")
        total = [a + int(b) for a, b in zip(total, answer, strict=True)]
    return total[0], total[1], total[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--rows-per-day", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", action="store_true", help="ClickHouse and DuckDB too")
    given = parser.parse_args()
    folder = given.folder.resolve()
    from benchmarks import lake_days  # what it imports is no part of a contender's memory

    entries = lake_days.fill(folder, given.days, given.rows_per_day, 1_000_000)
    rows = sum(entry.rows_read for entry in entries)
    works: dict[str, Any] = {
        "DuckDB scan": partial(scan, folder),
        "Cloudbound": partial(ours, folder),
    }
    if given.peers:
        works |= {
            "ClickHouse": partial(clickhouse, folder),
            "DuckDB rollup": partial(duckdb_rollup, folder),
        }
    found = measure.in_turn(works, given.runs)
    answers = {name: cost.answer for name, cost in found.items() if name != "DuckDB scan"}
    print(
        f"{rows:,} rows in {given.days} days; {measure.load()}; same answer: {len(set(answers.values())) == 1}"
    )
    print(measure.table(found, rows, "DuckDB scan"))
    if len(set(answers.values())) != 1:
        print(answers)


if __name__ == "__main__":
    main()
