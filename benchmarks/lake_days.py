"""A lake of request days of any length, as a night's landing step would have left it.

Belongs here: day files of plausible shape and the inventory that names them, the same for the
same arguments. Does not belong here: planted truth (pipelines/simulate), timing (bench_*.py).

A day has two files: the day's own, sorted by team, and a small one of late rows. One row in 200 of
the first and half of the second are second deliveries of a row of the first, some with another
content. Only `DISTINCT` days are drawn; later days are hard links to them, which nothing that works
day by day can tell from days of their own, so 300 days need the disk of ten.
"""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from pipelines import lake
from pipelines.lake import Entry
from pipelines.simulate.requests import hex_text
from pipelines.simulate.streams import mix

START = date(2026, 1, 1)
DISTINCT = 10
MODELS = ("qwen3.5-plus", "glm-5", "minimax-m2.5", "kimi-k2.5", "qwen3-max", "unpriced-model")
TASKS = ("code", "test", "infra", "deploy", "review", None)
STATUSES = ("ok", "refused", "throttled", "failed")
LIMITS = ("5h", "week", "month", None)


def fill(folder: Path, days: int, rows_per_day: int, teams: int) -> list[Entry]:
    """Write data folder `folder`'s lake with `days` days; returns its entries."""
    made: dict[tuple[int, str], Path] = {}
    entries = []
    for number in range(days):
        on = START + timedelta(days=number)
        for kind, rows in (("main", rows_per_day), ("late", rows_per_day // 400)):
            entry = Entry(
                fingerprint=f"{kind}{number:012d}", source="gateway", name=f"{kind}-{on}.parquet",
                snapshot="", sha256="", recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
                family="requests", format="canonical_requests", because="", rows_read=rows,
                days={str(on): rows}, newest_on=str(on),
            )  # fmt: skip
            entries.append(entry)
            path = entry.path(folder / "lake", str(on))
            path.parent.mkdir(parents=True, exist_ok=True)
            first = made.setdefault((number % DISTINCT, kind), path)
            if path.exists():
                continue
            if first != path:
                os.link(first, path)
                continue
            drawn = day(on, number, rows_per_day, teams)
            frame = drawn.head(rows) if kind == "main" else _again(drawn, rows)
            frame = frame.sort("team", "line")
            frame.write_parquet(
                path, compression="zstd", compression_level=1, statistics=False,
                row_group_size=lake.ROW_GROUP,
            )  # fmt: skip
    lake.save_inventory(entries, folder / "lake")
    return entries


def day(on: date, number: int, rows: int, teams: int) -> pl.DataFrame:
    """Heavy-tailed: a member is active with 1 to some hundred requests."""
    rng = np.random.default_rng((7, number))
    per_member = np.minimum(1 + rng.pareto(1.2, rows) * 6, 400).astype(np.int64)
    per_member = per_member[: int(np.searchsorted(np.cumsum(per_member), rows)) + 1]
    member = np.repeat(np.arange(per_member.size), per_member)[:rows]
    team = rng.integers(0, teams, per_member.size)[member]
    identity = mix(np.arange(rows, dtype=np.uint64) + np.uint64(number * rows + 1))
    again = rng.random(rows) < 1 / 200
    again[0] = False
    identity[again] = identity[np.flatnonzero(again) - 1]
    midnight = int(datetime(on.year, on.month, on.day, tzinfo=UTC).timestamp()) - 8 * 3600
    at = (midnight + rng.integers(0, 86_400, rows)) * 1_000_000
    status = rng.choice(4, rows, p=(0.98, 0.01, 0.005, 0.005))
    # A member has a favourite model and few tasks, as in the simulated world: 0.27 groups a row.
    own = np.where(rng.random(rows) < 0.9, member % 5, rng.integers(0, 6, rows))
    task = (member + rng.integers(0, 3, rows)) % 6
    tokens = np.minimum(rng.lognormal(8.5, 1.2, rows), 400_000).astype(np.int64)
    words = mix(member.astype(np.uint64) + np.uint64(number << 32))

    def coded(codes: np.ndarray, names: tuple[str | None, ...]) -> pl.Series:
        return pl.Series(names, dtype=pl.String).gather(codes)

    return pl.DataFrame(
        {
            "request_id": pl.Series(hex_text(identity)),
            "team": pl.Series(team).cast(pl.String).str.zfill(9),
            "member": pl.Series(member).cast(pl.String).str.zfill(7),
            "requested_at": at,
            "received_at": at + rng.integers(300_000, 4_000_000, rows),
            "model": coded(own, MODELS),
            "task": coded(task, TASKS),
            "session": pl.Series(hex_text(words)),
            "input_tokens": tokens,
            "cached_tokens": (tokens * rng.random(rows)).astype(np.int64),
            "output_tokens": rng.integers(1, 2_000, rows),
            "status": coded(status, STATUSES),
            "refused_by": coded(np.where(status == 1, rng.integers(0, 3, rows), 3), LIMITS),
            "on_plan": rng.random(rows) < 0.97,
            "line": np.arange(1, rows + 1),
        }
    ).with_columns(
        pl.col("requested_at", "received_at").cast(pl.Datetime("us", "UTC")),
        team=pl.concat_str(pl.lit("team-"), "team"),
        member=pl.concat_str(pl.lit("u"), "member"),
    )


def _again(day: pl.DataFrame, rows: int) -> pl.DataFrame:
    """Late rows: every other one was delivered before."""
    late = day.gather_every(max(1, day.height // rows)).head(rows)
    is_new = pl.int_range(pl.len()) % 2 == 0
    return late.with_columns(
        request_id=pl.when(is_new)
        .then(pl.concat_str(pl.lit("late-"), "request_id"))
        .otherwise("request_id"),
        received_at=pl.col("received_at") + pl.duration(days=2),
    )
