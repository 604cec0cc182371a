"""A whole world in one call: `simulate` writes a landing folder and the truth beside it.

Belongs here: checking what was asked, the order of the work, the spread over processes, manifests.
Does not belong here: what teams, calls, charges or labels are (the other rooms of this package).

A world is a pure function of its settings. Work is cut by blocks of teams or days whose borders
depend on nothing but the world's size, so the bytes are the same at any number of processes.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.simulate import (
    charges,
    directory,
    dirt,
    effects,
    feedback,
    requests,
    subscriptions,
    truth,
)
from pipelines.simulate.names import names
from pipelines.simulate.streams import I64
from pipelines.simulate.teams import EFFECTS, LOOKBACK_DAYS, NEVER, PRESETS, Settings, Teams, build

VERSION = 2
START = date(2025, 1, 6)
MARKER = ".simulated.json"
SOURCES = ("gateway", "litellm", "plan", "stripe", "billing", "directory")
MAX_TEAMS, MAX_DAYS = 10_000_000, 3_650
_BLOCK_CELLS = 2_000_000
_TEAMS_PER_CHARGE_PART = 5_000
_BUSY_ROWS_PER_DAY = 50_000
_SMALL_CELLS = 50_000
Progress = Callable[[str, int, int], None]


class SimulationError(ValueError):
    """A world that can't be made as asked; the message is one sentence for the user."""


@dataclass(frozen=True)
class SimulationSummary:
    """What was written and what is true in it."""

    out: Path
    truth: Path
    teams: int
    subscribers: int
    integrated: int
    moved: int
    request_rows: int
    charge_rows: int
    files: int
    as_of: date
    complete_on: date
    shares: dict[int, float | None]
    """The planted share of integrated new and dormant teams by horizon in days."""


@dataclass(frozen=True)
class Written:
    """One landing file: its source, its name there, when it was recorded, and its rows."""

    source: str
    file: str
    recorded_at: datetime
    sha256: str
    rows: int


def simulate(
    out: Path,
    *,
    teams: int,
    days: int,
    seed: int,
    start: date = START,
    rows_per_day: int | None = None,
    dirt: float = 0.2,
    intent: float | None = None,
    world: str = "healthy",
    without: Sequence[str] = (),
    stripe_share: float = 0.15,
    force: bool = False,
    processes: int | None = None,
    progress: Progress | None = None,
) -> SimulationSummary:
    """Write a world into `out` (a landing folder) and its truth beside it.

    intent: how strongly the wish to move drives both taking the plan and moving (0: naive
    comparisons are right); None takes the world's own. without: effects of the world to switch off,
    of "plan", "quota" and "model". processes: None takes two where that pays. stripe_share: teams that are sold the plan
    through Stripe. progress gets (stage, done, total).
    """
    is_small = isinstance(teams, int) and isinstance(days, int) and teams * days < _SMALL_CELLS
    processes = (1 if is_small else 2) if processes is None else processes
    settings = _checked(teams, days, seed, start, rows_per_day, dirt, intent, world, processes)
    if not 0.0 <= stripe_share <= 1.0:
        raise SimulationError(f"stripe_share is {stripe_share}, but must be a number from 0 to 1.")
    unknown = sorted(set(without) - set(EFFECTS))
    if unknown:
        raise SimulationError(
            f"There is no effect {unknown[0]!r} to leave out: take some of {', '.join(EFFECTS)}."
        )
    settings = replace(
        settings, stripe_share=float(stripe_share), without=tuple(sorted(set(without)))
    )
    truth_folder = out.parent / "truth" if out.name == "landing" else out / "truth"
    _check_target(out, force)
    report = progress or (lambda stage, done, total: None)
    if rows_per_day is not None:
        settings = replace(settings, scale=_scale(settings, rows_per_day))
    _clear(out, truth_folder)
    _mark(out, settings, rows_per_day, is_complete=False)
    with _runner(settings, processes) as run:
        summary = _make(settings, out, truth_folder, run, report)
    _mark(out, settings, rows_per_day, is_complete=True)
    return summary


# --- what was asked ---------------------------------------------------------------------------


def _checked(
    teams: int,
    days: int,
    seed: int,
    start: date,
    rows_per_day: int | None,
    dirt_level: float,
    intent: float | None,
    world: str,
    processes: int,
) -> Settings:
    for name, value, low, high in (
        ("teams", teams, 1, MAX_TEAMS),
        ("days", days, 1, MAX_DAYS),
        ("seed", seed, 0, 2**63 - 1),
        ("processes", processes, 1, 256),
        ("rows_per_day", 1 if rows_per_day is None else rows_per_day, 1, 10**9),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise SimulationError(
                f"{name} is {value!r}, but must be a whole number from {low} to {high}."
            )
    if not 0.0 <= dirt_level <= 1.0:
        raise SimulationError(f"dirt is {dirt_level}, but must be a number from 0 to 1.")
    if world not in PRESETS:
        raise SimulationError(f"There is no world {world!r}: take one of {', '.join(PRESETS)}.")
    strength = PRESETS[world].intent if intent is None else intent
    if not 0.0 <= strength <= 3.0:
        raise SimulationError(f"intent is {strength}, but must be a number from 0 to 3.")
    if not date(2000, 1, 1) <= start <= date(2090, 1, 1):
        raise SimulationError(f"start is {start}, but must be a day from 2000-01-01 to 2090-01-01.")
    return Settings(
        teams=teams,
        days=days,
        seed=seed,
        start=date(start.year, start.month, start.day),
        dirt=float(dirt_level),
        intent=float(strength),
        world=world,
    )


def _check_target(out: Path, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise SimulationError(f"{out} is a file: name a folder to simulate into.")
    if out.is_dir() and any(out.iterdir()) and not force:
        raise SimulationError(
            f"{out} is not empty: name another folder or use force to replace it."
        )


def _clear(out: Path, truth_folder: Path) -> None:
    """Remove what an earlier simulation may have left; other files stay."""
    for folder in (*(out / source for source in SOURCES), truth_folder):
        if folder.is_dir():
            shutil.rmtree(folder)
    out.mkdir(parents=True, exist_ok=True)


def _mark(out: Path, settings: Settings, rows_per_day: int | None, *, is_complete: bool) -> None:
    facts = {
        "version": VERSION,
        **{k: str(v) if isinstance(v, date) else v for k, v in asdict(settings).items()},
        "rows_per_day": rows_per_day,
        "is_complete": is_complete,
    }
    (out / MARKER).write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


def _scale(settings: Settings, rows_per_day: int) -> float:
    """The rate multiplier that gives about the wanted rows a day, found on a sample."""
    last = min(settings.teams, 4_000)
    days = np.unique(np.linspace(0, settings.days - 1, min(settings.days, 60)).astype(np.int64))
    low, high = math.log(1e-4), math.log(1e4)
    for _ in range(24):
        middle = (low + high) / 2
        tried = replace(settings, scale=math.exp(middle))
        made = requests.counts(tried, build(tried, 0, last), days)
        a_day = made.every.sum() / len(days)
        low, high = (
            (middle, high) if a_day * settings.teams / last < rows_per_day else (low, middle)
        )
    return math.exp((low + high) / 2)


# --- processes --------------------------------------------------------------------------------

Run = Callable[[Callable[..., Any], list[tuple[Any, ...]]], Iterator[tuple[int, Any]]]


@contextmanager
def _runner(settings: Settings, processes: int) -> Iterator[Run]:
    """A way to run one function over many arguments; results come as (position, result)."""
    if processes == 1:
        yield lambda work, jobs: ((k, work(settings, *job)) for k, job in enumerate(jobs))
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:

        def run(work: Callable[..., Any], jobs: list[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
            waiting = {pool.submit(work, settings, *job): k for k, job in enumerate(jobs)}
            for done in as_completed(waiting):
                yield waiting[done], done.result()

        yield run


def _all(run: Run, work: Callable[..., Any], jobs: list[tuple[Any, ...]], tell: Any) -> list[Any]:
    results: list[Any] = [None] * len(jobs)
    for done, (place, result) in enumerate(run(work, jobs), 1):
        results[place] = result
        tell(result, done, len(jobs))
    return results


@lru_cache(maxsize=2)
def _teams(settings: Settings) -> Teams:
    if settings.has_quotas:
        return feedback.whole(settings).teams
    return build(settings, 0, settings.teams)


def _counts(settings: Settings, some: Teams, days: I64) -> requests.Counts:
    if settings.has_quotas:
        return feedback.whole(settings).counts.cut(some.index, days)
    return requests.counts(settings, some, days)


# --- the work ---------------------------------------------------------------------------------


def _make(
    settings: Settings, out: Path, truth_folder: Path, run: Run, report: Progress
) -> SimulationSummary:
    every = _teams(settings)
    # Even, so that the two teams of a merge are always in one block.
    step = 2 * max(1, _BLOCK_CELLS // (settings.days + LOOKBACK_DAYS) // 2)
    spans = [(a, min(a + step, settings.teams)) for a in range(0, settings.teams, step)]

    def in_steps(stage: str) -> Callable[[Any, int, int], None]:
        return lambda result, done, total: report(stage, done, total)

    found = _all(run, _habits, spans, in_steps("habits"))
    would_integrate_on = np.concatenate([f[0] for f in found])
    integrated_on = np.where(every.takes_plan, would_integrate_on, NEVER)
    newest_request = max(f[1] for f in found)
    if newest_request < 0:
        newest_request = settings.days - 1  # no calls at all: the charges alone decide
    total_rows = sum(f[2] for f in found)
    complete_on = truth.complete_day(newest_request, settings.days - 1)
    moves_on = truth.planted_move(every, integrated_on)
    judged = _all(
        run,
        _labels,
        [(a, b, integrated_on[a:b], moves_on[a:b], complete_on) for a, b in spans],
        in_steps("labels"),
    )
    labels = truth.Labels(
        integrated_on=integrated_on,
        moved_on=np.concatenate([j.moved_on for j in judged]),
        state=np.concatenate([j.state for j in judged]),
        planted_on=truth.planted_move(every, would_integrate_on),
    )

    for source in ("gateway", "litellm"):
        (out / source).mkdir(parents=True, exist_ok=True)
    length = 7 if total_rows < _BUSY_ROWS_PER_DAY * settings.days else 1
    blocks = [
        (out, first, min(first + length, settings.days))
        for first in range(0, settings.days, length)
    ]
    rows_done = 0

    def tell_rows(result: list[Written], done: int, total: int) -> None:
        nonlocal rows_done
        rows_done += sum(w.rows for w in result)
        report("request rows", min(rows_done, total_rows), total_rows)

    report("request rows", 0, total_rows)
    written = [w for part in _all(run, _requests, blocks, tell_rows) for w in part]
    request_rows = sum(w.rows for w in written)
    exports = [(out, what, integrated_on, moves_on) for what in charges.snapshots(settings)]
    billed = [w for part in _all(run, _charges, exports, in_steps("charges")) for w in part]
    charge_rows = sum(w.rows for w in billed)
    written += billed
    written += _subscriptions(settings, every, out)
    written += _directory(settings, every, out)
    _manifests(out, written)

    at_start = np.minimum(integrated_on, NEVER - 1)
    known = np.where(integrated_on < NEVER, at_start, np.minimum(every.subscribed_on, NEVER - 1))
    plan = subscriptions.plan_at(settings, every, known)
    if settings.has_quotas:
        known_shares = (
            feedback.whole(settings).shares,
            feedback.whole(settings).itt_shares,
        )
    else:
        known_shares = (
            {h: truth.share(every, h) for h in truth.HORIZONS},
            {h: truth.itt_share(every, integrated_on, h) for h in truth.HORIZONS},
        )
    accounts = truth.frame(settings, every, labels, plan, complete_on, *known_shares)
    population = truth.write(truth_folder, accounts)
    effects.write(settings, every, would_integrate_on, accounts, truth_folder)
    if settings.has_quotas:
        feedback.whole(settings).cycles.write_parquet(truth_folder / "cycles.parquet")
    whole = population.filter(pl.col("segment") == "all")
    is_team = every.subscribed_on < settings.days
    return SimulationSummary(
        out=out,
        truth=truth_folder,
        teams=settings.teams,
        subscribers=int(is_team.sum()),
        integrated=int((is_team & (integrated_on < NEVER)).sum()),
        moved=int((is_team & (labels.moved_on < NEVER)).sum()),
        request_rows=request_rows,
        charge_rows=charge_rows,
        files=len(written),
        as_of=settings.on(min(newest_request, settings.days - 1) + 1),
        complete_on=settings.on(complete_on),
        shares=dict(zip(whole["horizon_days"].to_list(), whole["share"].to_list(), strict=True)),
    )


def _habits(settings: Settings, first: int, last: int) -> tuple[I64, int, int]:
    """T0 of some teams out of their raw activity (of who doesn't take the plan: the T0 that it
    would have had), the newest request day, and the rows of those who take it."""
    some = _teams(settings).take(np.arange(first, last))
    days = np.arange(settings.days)
    if settings.has_quotas:
        made = _counts(settings, some, days)
    else:
        takers = replace(
            some,
            takes_plan=np.ones_like(some.takes_plan),
            subscribed_on=np.where(some.is_missing, NEVER, some.eligible_on),
        )
        made = requests.counts(settings, takers, days)
    every = made.every[some.takes_plan]
    busy = np.flatnonzero(every.any(axis=0))
    active = truth.with_merges(some, made.accepted, days) >= 3
    habit = truth.habit_day(active, requests.weekdays(settings, days))
    return habit, int(busy[-1]) if len(busy) else -1, int(every.sum())


def _labels(
    settings: Settings,
    first: int,
    last: int,
    integrated_on: I64,
    moves_on: I64,
    complete_on: int,
) -> truth.Labels:
    """The labels of some teams, judged on the net charges that will be written."""
    some = _teams(settings).take(np.arange(first, last))
    runs = charges.runs(settings, some, integrated_on, moves_on)
    days = np.arange(-LOOKBACK_DAYS, settings.days)
    net = charges.net(settings, some, runs, days)
    return truth.judge(some, integrated_on, net, complete_on, moves_on)


def _requests(settings: Settings, out: Path, first: int, last: int) -> list[Written]:
    """The files of one block of days: each dialect, and what arrives after the file was cut."""
    every = _teams(settings)
    days = np.arange(first, last)
    is_there = (every.subscribed_on < last) & (subscriptions.end_day(settings, every) > first)
    label = settings.on(first).isoformat()
    cut = _midnight(settings.on(last)) + timedelta(hours=2)
    cut_ms = int(cut.timestamp() * 1000)
    afterwards = cut + timedelta(days=dirt.LATE_DAYS + 1)
    written: list[Written] = []

    main = out / "gateway" / f"requests-{label}.parquet"
    after = out / "gateway" / f"late-{label}.parquet"
    writer = None
    late_tables = []
    rows = 0
    for part, made in _chunks(settings, every.take(is_there & ~every.is_litellm), days):
        is_late = dirt.late(settings, made)
        received = requests.received_ms(made)
        again = np.flatnonzero(is_late | dirt.twice(settings, made))
        if len(again):
            repeated = requests.select(made, again)
            table = requests.arrow_table(part, repeated, dirt.late_arrival_ms(repeated, cut_ms))
            late_tables.append(table.take(dirt.shuffled(settings, repeated)))
            kept = np.flatnonzero(~is_late)
            made, received = requests.select(made, kept), received[kept]
        table = requests.arrow_table(part, made, received)
        writer = writer or requests.parquet_writer(main, table.schema)
        writer.write_table(table, row_group_size=requests.ROW_GROUP)
        rows += len(made)
    if writer is not None:
        writer.close()
        written.append(_written(out, main, cut, rows))
    if late_tables:
        with requests.parquet_writer(after, late_tables[0].schema) as late_writer:
            for table in late_tables:
                late_writer.write_table(table, row_group_size=requests.ROW_GROUP)
        written.append(_written(out, after, afterwards, sum(t.num_rows for t in late_tables)))

    spend = out / "litellm" / f"spend-{label}.jsonl"
    lines: list[str] = []
    for part, made in _chunks(settings, every.take(is_there & every.is_litellm), days):
        lines += requests.litellm_frame(part, made).write_ndjson().splitlines()
    if lines:
        text = dirt.broken_lines(settings, f"litellm {first}", lines)
        spend.write_text("\n".join(text) + "\n", "utf-8")
        written.append(_written(out, spend, cut, len(lines)))
    return written


def _chunks(settings: Settings, some: Teams, days: I64) -> Iterator[tuple[Teams, requests.Rows]]:
    """Rows of some teams in pieces of bounded size, whole teams at a time."""
    step = max(1, _BLOCK_CELLS // (4 * len(days)))
    for first in range(0, len(some), step):
        part = some.take(np.arange(first, min(first + step, len(some))))
        planted = _counts(settings, part, days)
        sizes = planted.every.sum(axis=1)
        place = (np.cumsum(sizes) - sizes) // requests.ROWS_PER_CHUNK
        edges = np.flatnonzero(np.diff(place, prepend=-1))
        for a, b in zip(edges, [*edges[1:], len(part)], strict=True):
            w = np.arange(a, b)[sizes[a:b] > 0]
            if not len(w):
                continue
            piece = part.take(w)
            yield piece, requests.rows(settings, piece, days, planted.cut(w))


def _charges(
    settings: Settings,
    out: Path,
    what: charges.Snapshot,
    integrated_on: I64,
    moves_on: I64,
) -> list[Written]:
    """The file of one export, and what was left of an upload that broke off before it."""
    path = out / "billing" / what.folder / f"focus-{what.number}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    number = what.recorded_on.toordinal() * 4 + what.number
    delay = timedelta(days=30 if not what.is_final and dirt.is_delayed(settings, number) else 0)
    recorded = datetime.combine(what.recorded_on, time(1), UTC) + delay
    written = []
    every = _teams(settings)
    rows = 0
    with path.open("wb") as handle:
        for first in range(0, settings.teams, _TEAMS_PER_CHARGE_PART):
            w = np.arange(first, min(first + _TEAMS_PER_CHARGE_PART, settings.teams))
            some = every.take(w)
            runs = charges.runs(settings, some, integrated_on[w], moves_on[w])
            frame = charges.export(settings, some, names(settings.seed), runs, what)
            if first == 0:
                frame = pl.concat([frame, charges.house(settings, what)])
                handle.write((",".join(frame.columns) + "\n").encode())
            text = frame.write_csv(include_header=False, null_value="NULL")
            rows += frame.height
            if settings.dirt > 0 and text:
                text = dirt.broken_charges(settings, number, first // _TEAMS_PER_CHARGE_PART, text)
            handle.write(text.encode())
            if first == 0 and dirt.is_cut_off(settings, number):
                packed = gzip.compress(text.encode(), 1, mtime=0)
                cut_off = path.with_suffix(".csv.gz")
                cut_off.write_bytes(packed[: len(packed) * 2 // 3])
                written.append(_written(out, cut_off, recorded - timedelta(minutes=20), 0))
    return [*written, _written(out, path, recorded, rows)]


def _subscriptions(settings: Settings, every: Teams, out: Path) -> list[Written]:
    """Plan events, a file a month: canonical rows, and Stripe webhooks for a share of the teams."""
    paid = subscriptions.paid_cycles(settings, every)
    written = []
    for first, last in charges.months(settings):
        dated: dict[str, list[tuple[datetime, str]]] = {"plan": [], "stripe": []}
        for is_stripe, event in subscriptions.events(settings, every, paid, max(first, 0), last):
            if is_stripe:
                lines = subscriptions.stripe_lines(event)
                dated["stripe"] += [(event.at, line) for line in lines]
            else:
                dated["plan"].append((event.at, subscriptions.canonical_line(event)))
        month = f"{settings.on(last):%Y-%m}"
        recorded = _midnight(settings.on(last + 1)) + timedelta(hours=2)
        for source, name in (("plan", "subscriptions"), ("stripe", "events")):
            if not dated[source]:
                continue
            path = out / source / f"{name}-{month}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            in_order = [line for _, line in sorted(dated[source], key=lambda pair: pair[0])]
            text = dirt.broken_lines(settings, f"{source} {month}", in_order)
            path.write_text("\n".join(text) + "\n", "utf-8")
            written.append(_written(out, path, recorded, len(in_order)))
    return written


def _directory(settings: Settings, every: Teams, out: Path) -> list[Written]:
    """The small tables are recorded before everything: their rows carry their own clocks."""
    recorded = _midnight(settings.on(-LOOKBACK_DAYS))
    paths = directory.write(settings, every, out / "directory")
    return [_written(out, path, recorded, 0) for path in paths]


def _midnight(on: date) -> datetime:
    """The start of a business day (UTC+8)."""
    return datetime.combine(on, time(), UTC) - timedelta(hours=8)


def _written(out: Path, path: Path, recorded_at: datetime, rows: int) -> Written:
    source, *rest = path.relative_to(out).parts
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return Written(source, "/".join(rest), recorded_at, digest, rows)


def _manifests(out: Path, written: list[Written]) -> None:
    """manifest.jsonl of every source: which file, which bytes, recorded when."""
    for source in sorted({w.source for w in written}):
        own = sorted(
            (w for w in written if w.source == source),
            key=lambda w: (w.recorded_at, w.file),
        )
        lines = [
            json.dumps(
                {
                    "file": w.file,
                    "sha256": w.sha256,
                    "recorded_at": w.recorded_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "format": "auto",
                    "timezone": "UTC",
                }
            )
            for w in own
        ]
        (out / source / "manifest.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
