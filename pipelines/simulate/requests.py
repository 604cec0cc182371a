"""What teams ask of the models: how many calls on a day, and each call as a row.

Belongs here: the daily counts (the raw activity that T0 comes out of), the row generator, and its
two dialects (canonical Parquet, LiteLLM SpendLogs JSONL).
Does not belong here: the numbers that rows are calibrated with (calibration.py), faults (dirt.py)
and any judgement about habits (truth.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.simulate import calibration, decoys
from pipelines.simulate.streams import GOLDEN, I64, U64, bits, mix, to_unit
from pipelines.simulate.subscriptions import cycle_day, end_day
from pipelines.simulate.teams import ARCHETYPES, MODELS, TASKS, Settings, Teams, team_id

I32 = NDArray[np.int32]

DAY_MS = 86_400_000
ZONE_MS = 8 * 3_600_000
LITE_FIVE_HOURS = 1_200
LITE_MONTH = 18_000
_CAP_NATURAL = np.array([220, 1_000])
_CAP_GROWN = np.array([580, 2_900])
"""A month of such days is still inside the month's quota."""
_CAP_HEAVY = 4_000
_MONTH_DAYS = 31
_MOST_SITTINGS = 8
"""In a month, at most every fourth day."""
_SITTING_START_MS = (int(8.5 * 3_600_000), int(18.6 * 3_600_000))
_SITTING_MS = int(4.4 * 3_600_000)
"""Two sittings a day, each shorter than five hours and more than five hours apart."""
_TAIL_ACTIVE = 0.03
ROWS_PER_CHUNK = 250_000
ROW_GROUP = 122_880

STATUSES = ("ok", "refused", "throttled", "failed")
LIMITS = ("5h", "week", "month")


@dataclass(frozen=True)
class Counts:
    """Requests of each team on each day: accepted, failed or throttled, refused by a quota.

    `ok` of a team with the wrong key is accepted, but not on the plan: see `is_on_plan`.
    """

    ok: I32
    bad: I32
    refused: I32
    is_on_plan: NDArray[np.bool_]
    sittings: NDArray[np.int16] | None = None
    """By (team, day): accepted, refused and limit of a first, then of a second sitting; only where
    demand meets quotas (feedback.py)."""
    is_upset: NDArray[np.bool_] | None = None
    """Days on which a recent refusal changes what a team calls."""
    limit: NDArray[np.int8] | None = None
    """Which quota refuses on the days of `refused` (into LIMITS); only without sittings."""

    @property
    def accepted(self) -> I32:
        """Accepted requests on the plan: the only ones the metric counts."""
        return np.where(self.is_on_plan[:, None], self.ok, 0)

    @property
    def every(self) -> I32:
        """Requests of any outcome."""
        return self.ok + self.bad + self.refused

    def cut(self, teams: I64, days: I64 | None = None) -> Counts:
        """The counts of some of the teams, on all or some of the days."""
        when = slice(None) if days is None else slice(int(days[0]), int(days[-1]) + 1)
        return Counts(
            self.ok[teams, when],
            self.bad[teams, when],
            self.refused[teams, when],
            self.is_on_plan[teams],
            None if self.sittings is None else self.sittings[teams, when],
            None if self.is_upset is None else self.is_upset[teams, when],
            None if self.limit is None else self.limit[teams, when],
        )


def weekdays(settings: Settings, days: I64) -> I64:
    """0 = Monday of each day number."""
    return (settings.start.weekday() + days) % 7


def counts(settings: Settings, teams: Teams, days: I64) -> Counts:
    """The planted daily counts of some teams on some days."""
    word = settings.streams.grid("activity", teams.index, days)
    since = days[None, :] - teams.subscribed_on[:, None]
    on_plan = (since >= 0) & (days[None, :] < end_day(settings, teams)[:, None])
    week = weekdays(settings, days)
    is_weekend = (week >= 5)[None, :]
    active = teams.active_share[:, None] * np.where(is_weekend, calibration.WEEKEND_ACTIVE, 1.0)
    past_span = since >= (teams.first_call_lag + teams.span_days)[:, None]
    active = np.where(past_span, _TAIL_ACTIVE, active)
    is_active = (bits(word, 0, 20) * 2.0**-20 < active) & (since >= teams.first_call_lag[:, None])

    growth = np.exp(settings.preset.rate_growth_per_day * days)
    level = (
        teams.rate[:, None] * np.where(is_weekend, calibration.WEEKEND_LEVEL, 1.0) * growth[None, :]
    )
    size = level * calibration.day_noise()[bits(word, 20, 12)]
    cap = np.minimum(_CAP_NATURAL[:, None] * growth, _CAP_GROWN[:, None])
    natural = np.minimum(np.maximum(1, size), cap[teams.first_plan]).astype(np.int32)

    ok = np.where(is_active, natural, 0)
    governed, pattern = decoys.call_pattern(teams.decoy, since, week, np.minimum(natural, 12))
    ok = np.where(governed, pattern, ok)
    ok[~on_plan] = 0

    if settings.has_quotas:
        level = np.where(teams.is_heavy[:, None], size, ok)
        ok = np.where(is_active & on_plan & ~governed, np.minimum(level, _CAP_HEAVY), ok).astype(
            np.int32
        )

    refused = np.zeros_like(ok)
    limit = np.zeros(ok.shape, dtype=np.int8)
    fillers = np.flatnonzero(teams.fills)
    if len(fillers):
        filled = _fill_quota(settings, teams.take(fillers), days)
        planned = filled.is_planned & on_plan[fillers]
        ok[fillers] = np.where(planned, filled.ok, ok[fillers])
        refused[fillers] = np.where(planned, filled.refused, 0)
        limit[fillers] = filled.limit
    binds = refused > 0

    draw = bits(word, 52, 12) * 2.0**-12
    bad = np.floor(ok * calibration.FAULT_SHARE + draw * (ok > 0)).astype(np.int32)
    failing = decoys.with_calls(decoys.Calls.FAILING)[teams.decoy][:, None] & on_plan
    bad = np.where(failing, 6 + bits(word, 52, 4), bad).astype(np.int32)
    bad[binds] = 0
    return Counts(ok, bad, refused, ~decoys.IS_OFF_PLAN[teams.decoy], limit=limit)


class _Filled(NamedTuple):
    """Accepted, refused and the limit by (team, day), and where a plan month is laid out so."""

    ok: I32
    refused: I32
    limit: NDArray[np.int8]
    is_planned: NDArray[np.bool_]


def _fill_quota(settings: Settings, teams: Teams, days: I64) -> _Filled:
    """The first months of teams on Lite that set out to use their month's quota, or most of it.

    A month's calls are spread over its active days, so any block of days can be laid out alone. Now
    and then a team empties the five-hour quota in one sitting (at most every fourth day, so that the
    week's quota never binds), and a maximiser ends its fullest months on the month's quota: both
    times it is then refused.
    """
    wide = np.arange(days[0] - _MONTH_DAYS, days[-1] + _MONTH_DAYS + 1)
    word = settings.streams.grid("activity", teams.index, wide)
    is_weekend = (weekdays(settings, wide) >= 5)[None, :]
    active = teams.active_share[:, None] * np.where(is_weekend, calibration.WEEKEND_ACTIVE, 1.0)
    since = wide[None, :] - teams.subscribed_on[:, None]
    on = (bits(word, 0, 20) * 2.0**-20 < active) & (since >= teams.first_call_lag[:, None])
    weight = np.where(on, 0.6 + 0.8 * bits(word, 20, 12) / 4096, 0.0)
    weight *= np.where(is_weekend, calibration.WEEKEND_LEVEL, 1.0)
    is_maximiser = (teams.archetype == 2)[:, None]
    fourth = (wide[None, :] + teams.index[:, None]) % 4 == 0
    sits = on & fourth & (bits(word, 32, 8) < 100)
    ok = np.zeros(weight.shape, dtype=np.int32)
    refused, limit = np.zeros_like(ok), np.zeros(ok.shape, dtype=np.int8)
    is_planned = np.zeros(ok.shape, dtype=bool)
    demand = teams.fills * settings.scale * settings.preset.rate
    for cycle in range(int(teams.fills_cycles.max())):
        number = np.full(len(teams), cycle)
        starts, ends = (cycle_day(settings, teams.subscribed_on, number + k) for k in (0, 1))
        month = (wide[None, :] >= starts[:, None]) & (wide[None, :] < ends[:, None])
        month &= (cycle < teams.fills_cycles)[:, None]
        fill = demand * np.exp(settings.preset.rate_growth_per_day * np.minimum(starts, wide[-1]))
        budget = np.floor(np.minimum(fill, 1.0) * LITE_MONTH)[:, None]
        is_last = month & on
        is_last &= is_last[:, ::-1].cumsum(axis=1)[:, ::-1] == 1
        sat = month & sits & ~is_last & (budget > _MOST_SITTINGS * LITE_FIVE_HOURS)
        sat &= (cycle < teams.upgrade_cycle)[:, None]  # Pro's five hours hold more
        rest = budget - LITE_FIVE_HOURS * sat.sum(axis=1, keepdims=True)
        part = np.where(month & ~sat, weight, 0.0)
        total = np.maximum(part.sum(axis=1, keepdims=True), 1e-9)
        calls = np.minimum(np.floor(rest * part / total), LITE_FIVE_HOURS - 1)
        calls[sat] = LITE_FIVE_HOURS
        # A full month ends on its quota: the last day takes what is left.
        left = budget - calls.sum(axis=1, keepdims=True)
        is_full = is_last & is_maximiser & (fill >= 1.0)[:, None]
        is_full &= calls + left < LITE_FIVE_HOURS
        calls += np.where(is_full, left, 0.0)
        np.copyto(ok, calls.astype(np.int32), where=month)
        np.copyto(refused, 20 + bits(word, 48, 7).astype(np.int32), where=sat | is_full)
        np.copyto(limit, np.int8(2), where=is_full)
        is_planned |= month
    # The days that were asked for need not follow one another.
    inside = days - wide[0]
    return _Filled(ok[:, inside], refused[:, inside], limit[:, inside], is_planned[:, inside])


@dataclass(frozen=True)
class Rows:
    """Requests as columns; `team` points into the Teams they came from, times are epoch ms."""

    team: I64
    member: I32
    at_ms: I64
    session: I32
    session_word: U64
    identity: U64
    model: NDArray[np.int8]
    task: NDArray[np.int8]
    input_tokens: I32
    cached_tokens: I32
    output_tokens: I32
    status: NDArray[np.int8]
    limit: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.team)


@cache
def _tasks() -> NDArray[np.int8]:
    """Task by (archetype, byte): what a call is for, flattened."""
    table = np.empty((len(ARCHETYPES), 256), dtype=np.int8)
    for k, shares in enumerate(calibration.TASK_SHARES):
        edges = np.cumsum(shares) / np.sum(shares) * 256
        table[k] = np.minimum(np.searchsorted(edges, np.arange(256), side="right"), len(TASKS) - 1)
    return table.reshape(-1)


def rows(settings: Settings, teams: Teams, days: I64, planted: Counts) -> Rows:
    """Every request of some teams on some days, in (team, day) order."""
    s = settings.streams
    start_ms = int(datetime.combine(settings.start, datetime.min.time(), UTC).timestamp()) * 1000
    total = planted.every
    t_cell, d_cell = np.nonzero(total)
    n = total[t_cell, d_cell].astype(np.int64)
    cells = len(n)
    first = np.cumsum(n) - n
    length = teams.session_length[t_cell]
    per_cell = -(-n // length)
    cell_word = s.grid("sessions", teams.index, days)[t_cell, d_cell]

    # Sessions.
    s_cell = np.repeat(np.arange(cells), per_cell)
    s_number = np.arange(len(s_cell)) - np.repeat(np.cumsum(per_cell) - per_cell, per_cell)
    word = mix(cell_word[s_cell] + (s_number + 1).astype(np.uint64) * GOLDEN)
    s_length = np.minimum(length[s_cell], n[s_cell] - s_number * length[s_cell])
    s_team = t_cell[s_cell]
    profile = calibration.start_of_day_ms()
    slot = teams.region[s_team].astype(np.intp) * 4096 + bits(word, 0, 12)
    pace = calibration.pace_ms()[bits(word, 24, 10)]
    begin = profile[slot] + bits(word, 12, 12) * 5
    member = np.floor(to_unit(mix(word)) ** 1.7 * teams.members[s_team]).astype(np.int32)
    day_ms = start_ms + days[d_cell] * DAY_MS - ZONE_MS

    # Rows: each session's columns are repeated, then every row draws its own word.
    session = np.repeat(np.arange(len(s_cell), dtype=np.int32), s_length)
    size = len(session)
    cell = s_cell[session]
    k = np.arange(size, dtype=np.int64) - first[cell]
    position = k - (s_number * length[s_cell])[session]
    packed = (teams.index[t_cell] << 38 | (days[d_cell] + 4096) << 24).astype(np.uint64)[cell]
    packed |= k.astype(np.uint64)
    packed ^= s.key("request id")
    identity = mix(packed)
    draw = mix(identity ^ s.key("request"))
    # Gaps in a session are heavy-tailed around its pace; the session is pushed back into its day.
    gap = (pace[session] * calibration.gap_factor()[bits(draw, 0, 8)]) >> 8
    after = np.minimum(gap, DAY_MS // 40)
    after[position == 0] = 0
    elapsed = np.cumsum(after)
    s_first = np.cumsum(s_length) - s_length
    length_ms = elapsed[s_first + s_length - 1] - elapsed[s_first]
    begin = np.minimum(begin, DAY_MS - 2000 - length_ms) + day_ms[s_cell] - elapsed[s_first]
    at = begin[session] + elapsed
    tokens = calibration.input_tokens()[bits(draw, 8, 14)]
    output = calibration.output_tokens()[bits(draw, 22, 14)]
    cached = (tokens * calibration.cached_share()[bits(draw, 36, 8)]).astype(np.int32)
    cached[position == 0] = 0
    team = t_cell[cell]
    choice, kind = bits(draw, 44, 8), bits(draw, 52, 8)
    if planted.is_upset is not None:
        upset = planted.is_upset[t_cell, d_cell][cell]
        choice = np.where(upset, choice // 2 + 128, choice)
        kind = np.where(upset, kind * 3 // 4, kind)
    third = (choice >= 180).astype(np.int8) + (choice >= 240)
    model = teams.models[team, third]
    task = _tasks()[teams.archetype[team].astype(np.intp) * 256 + kind]

    status = np.zeros(size, dtype=np.int8)
    limit = np.full(size, -1, dtype=np.int8)
    ok, bad, refused = (
        a[t_cell, d_cell].astype(np.int64) for a in (planted.ok, planted.bad, planted.refused)
    )
    faulty = np.flatnonzero(bad)
    if len(faulty):
        again = np.repeat(faulty, bad[faulty])
        j = np.arange(len(again)) - np.repeat(np.cumsum(bad[faulty]) - bad[faulty], bad[faulty])
        main = n[again] - refused[again]
        where = first[again] + (bits(cell_word[again], 40, 20) + j) % main
        status[where] = np.where(bits(draw[where], 60, 4) < 5, 2, 3)
        output[where] = 0
    crowded = refused > 0
    if planted.sittings is not None:
        crowded |= ok > LITE_FIVE_HOURS
    for c in np.flatnonzero(crowded):
        lo, hi = int(first[c]), int(first[c] + n[c])
        if planted.sittings is None:
            which = 0 if planted.limit is None else int(planted.limit[t_cell[c], d_cell[c]])
            sat = [(int(ok[c]), int(refused[c]), which), (0, 0, 0)]
        else:
            six = planted.sittings[t_cell[c], d_cell[c]].tolist()
            sat = [(six[0], six[1], six[2]), (six[3], six[4], six[5])]
            # Faulty calls of a crowded day come before its first sitting.
            lo = hi - sum(a + r for a, r, _ in sat)
            status[int(first[c]) : lo], status[lo:hi] = 3, 0
            at[int(first[c]) : lo] = day_ms[c] + 3_600_000
        for start_at, (accepted, denied, which) in zip(_SITTING_START_MS, sat, strict=True):
            end = lo + accepted + denied
            steps = np.arange(accepted + denied) * _SITTING_MS // max(accepted + denied, 1)
            at[lo:end] = day_ms[c] + start_at + steps
            status[lo + accepted : end] = 1
            limit[lo + accepted : end] = which
            output[lo + accepted : end] = 0
            cached[lo + accepted : end] = 0
            lo = end
    return Rows(
        team=team,
        member=member[session],
        at_ms=at,
        session=session,
        session_word=word,
        identity=identity,
        model=model,
        task=task,
        input_tokens=tokens,
        cached_tokens=cached,
        output_tokens=output,
        status=status,
        limit=limit,
    )


def select(made: Rows, where: NDArray[Any]) -> Rows:
    """Some of the rows; sessions keep their words."""
    kept = {k: v if k == "session_word" else v[where] for k, v in made.__dict__.items()}
    return Rows(**kept)


@cache
def _hex_pairs() -> NDArray[np.uint16]:
    digits = "0123456789abcdef"
    text = "".join(a + b for a in digits for b in digits).encode()
    return np.frombuffer(text, dtype=np.uint16)


def hex_text(words: U64) -> pa.Array:
    """64-bit words as sixteen hexadecimal digits, without a Python object per row."""
    data = _hex_pairs()[words.astype(">u8").view(np.uint8)]
    offsets = np.arange(len(words) + 1, dtype=np.int32) * 16
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.StringArray.from_buffers(len(words), buffers[1], buffers[2])


def _coded(
    codes: NDArray[Any],
    names: list[str] | pa.Array,
    is_null: NDArray[Any] | None = None,
) -> Any:
    index = pa.array(codes, type=pa.int32(), mask=is_null)
    values = names if isinstance(names, pa.Array) else pa.array(names, pa.string())
    return pa.DictionaryArray.from_arrays(index, values)


def member_names(teams: Teams) -> tuple[I64, list[str]]:
    """Where each team's members begin in the list of all members, and the list."""
    first = np.cumsum(teams.members) - teams.members
    names = [
        f"u{i:07d}-{m:02d}"
        for i, many in zip(teams.index.tolist(), teams.members.tolist(), strict=True)
        for m in range(many)
    ]
    return first.astype(np.int64), names


def arrow_table(teams: Teams, made: Rows, received_ms: I64) -> pa.Table:
    """Rows as the canonical columns."""
    first, names = member_names(teams)
    stamp = pa.timestamp("us", "UTC")
    on_plan = ~decoys.IS_OFF_PLAN[teams.decoy]
    columns: dict[str, Any] = {
        "request_id": hex_text(made.identity),
        "team": _coded(made.team, [team_id(i) for i in teams.index.tolist()]),
        "member": _coded(first[made.team] + made.member, names),
        "requested_at": pa.array(made.at_ms * 1000, type=stamp),
        "received_at": pa.array(received_ms * 1000, type=stamp),
        "model": _coded(made.model, list(MODELS)),
        "task": _coded(made.task, list(TASKS)),
        "session": _coded(made.session, hex_text(made.session_word)),
        "input_tokens": made.input_tokens,
        "cached_tokens": made.cached_tokens,
        "output_tokens": made.output_tokens,
        "status": _coded(made.status, list(STATUSES)),
        "refused_by": _coded(np.maximum(made.limit, 0), list(LIMITS), made.limit < 0),
        "on_plan": pa.array(on_plan[made.team]),
    }
    return pa.table(columns)


_CODED = ["team", "member", "model", "task", "session", "status", "refused_by"]
_TIMES = {"requested_at": "DELTA_BINARY_PACKED", "received_at": "DELTA_BINARY_PACKED"}


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of plain Parquet text columns, dictionary coded on disk."""
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=_CODED,
        column_encoding=_TIMES,
        store_schema=False,
        write_statistics=["team", "requested_at", "received_at"],
    )


def received_ms(made: Rows) -> I64:
    """When a row arrives: within seconds, and now and then by a clock that runs behind."""
    low = bits(made.identity, 0, 12).astype(np.int64)
    skewed = bits(made.identity, 12, 8) == 0
    return np.asarray(made.at_ms + np.where(skewed, -low * 15, 300 + low))


def _fill(template: str, *values: str | pl.Expr) -> pl.Expr:
    """The template with each ~ replaced by a column; braces of JSON stay what they are."""
    texts = template.split("~")
    parts: list[pl.Expr] = [pl.lit(texts[0])]
    for value, text in zip(values, texts[1:], strict=True):
        column = pl.col(value) if isinstance(value, str) else value
        parts += [column.cast(pl.String), pl.lit(text)]
    return pl.concat_str(parts)


def litellm_frame(teams: Teams, made: Rows) -> pl.DataFrame:
    """Rows as LiteLLM SpendLogs: JSON inside strings, naive UTC times, '' for what is absent."""
    duration = 800 + made.output_tokens.astype(np.int64) * 12
    frame = pl.from_arrow(arrow_table(teams, made, made.at_ms + duration))
    assert isinstance(frame, pl.DataFrame)
    text = [pl.col(c).cast(pl.String) for c in (*_CODED, "request_id")]
    clock = "%Y-%m-%d %H:%M:%S%.6f"
    quota = {"5h": "hour", "week": "week", "month": "month"}
    message = _fill(
        "~ allocated quota exceeded",
        pl.col("refused_by").replace_strict(quota, default=""),
    )
    is_ok = pl.col("status") == "ok"
    outcome = pl.when(is_ok).then(pl.lit("success")).otherwise(pl.lit("failure"))
    total = pl.col("input_tokens") + pl.col("output_tokens")
    too_many = '{"error_code": "429", "error_class": "RateLimitError", "error_message": "~"}'
    fault = (
        pl.when(pl.col("status") == "refused")
        .then(_fill(too_many, message))
        .when(pl.col("status") == "throttled")
        .then(_fill(too_many, pl.lit("Requests rate limit exceeded")))
        .when(pl.col("status") == "failed")
        .then(pl.lit('{"error_code": "500", "error_class": "InternalServerError"}'))
        .otherwise(pl.lit("null"))
    )
    metadata = _fill(
        '{"user_api_key_team_id": "~", "usage_object": {"completion_tokens": ~, '
        '"prompt_tokens": ~, "total_tokens": ~, "prompt_tokens_details": {"cached_tokens": ~}}, '
        '"status": "~", "error_information": ~}',
        "team",
        "output_tokens",
        "input_tokens",
        total,
        "cached_tokens",
        outcome,
        fault,
    )
    return frame.with_columns(text).select(
        request_id=pl.concat_str(pl.lit("chatcmpl-"), "request_id"),
        session_id="session",
        call_type=pl.lit("acompletion"),
        api_key=pl.lit(""),
        cache_hit=pl.lit("None"),
        startTime=pl.col("requested_at").dt.strftime(clock),
        endTime=pl.col("received_at").dt.strftime(clock),
        model="model",
        user="member",
        team_id="team",
        metadata=metadata,
        spend=pl.lit(0.0),
        total_tokens=total,
        prompt_tokens="input_tokens",
        completion_tokens="output_tokens",
        request_tags=_fill('["task:~"]', "task"),
        api_base=pl.lit("https://coding.dashscope.aliyuncs.com/v1"),
        custom_llm_provider=pl.lit("dashscope"),
        status=outcome,
    )
