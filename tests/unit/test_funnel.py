"""The funnel against its rules one by one, against peers' cases, and against brute force."""

import json
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from itertools import combinations, pairwise, permutations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import UsageError
from pipelines.funnel import rows as room
from pipelines.funnel.count import FunnelResult, funnel, to_json
from pipelines.funnel.definition import parse_window
from pipelines.funnel.events import UTC_MICROSECONDS, Events, clean_events, load_events

START = datetime(2024, 1, 1, tzinfo=UTC)
CASES = Path(__file__).parents[2].parent / "shared" / "cases" / "peer_cases.json"


def events_of(*rows: tuple[Any, ...]) -> Events:
    """Rows of (entity, event, seconds after the start) and, fourth, a plan."""
    frame = pl.DataFrame(
        {
            "entity": [row[0] for row in rows],
            "event": [row[1] for row in rows],
            "at": [START + timedelta(seconds=row[2]) for row in rows],
            "plan": [row[3] if len(row) > 3 else None for row in rows],
        },
        schema_overrides={
            "entity": pl.String,
            "event": pl.String,
            "at": UTC_MICROSECONDS,
            "plan": pl.String,
        },
    )
    return here(frame)


def here(frame: pl.DataFrame | pl.LazyFrame) -> Events:
    return clean_events(frame, "here")


def one(trail: str) -> Events:
    """One entity's events from 'a0 b5': event, then seconds after the start."""
    return events_of(*(("u", mark[0], float(mark[1:])) for mark in trail.split()))


def reached(trail: str, steps: str, window: str | None = None, **how: Any) -> list[int]:
    window_us = None if window is None else parse_window(window)
    return funnel(one(trail), list(steps), window_us=window_us, **how)[0].reached


# Windows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("14d", 1_209_600_000_000),
        ("1.5h", 5_400_000_000),
        ("90m", 5_400_000_000),
        (" 30 s ", 30_000_000),
        ("0.001s", 1_000),
        (".5s", 500_000),
        ("0s", 0),
        ("0.0000019s", 1),
    ],
)
def test_window_in_microseconds(text: str, microseconds: int) -> None:
    assert parse_window(text) == microseconds


@pytest.mark.parametrize("text", ["", "14", "d", "-1d", "1w", "1e3s", "1,5h", "14d 3h", "٣d"])
def test_bad_window_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration: write a number and s, m, h or d"):
        parse_window(text)


# Rules ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trail", "steps", "window", "expected"),
    [
        ("a0 b5 c9", "abc", None, [1, 1, 1]),
        ("c0 b5 a9", "abc", None, [1, 0, 0]),
        ("a0 c5", "abc", None, [1, 0, 0]),
        ("b0", "ab", None, [0, 0]),
        # The window includes its far edge and is measured from the first step, not the last one.
        ("a0 b10", "ab", "10s", [1, 1]),
        ("a0 b10.000001", "ab", "10s", [1, 0]),
        ("a0 b8 c16", "abc", "10s", [1, 1, 0]),
        ("a0 b0", "ab", "0s", [1, 1]),
        ("a0 b9", "ab", "999999999999d", [1, 1]),
        # Any entry may win, the later one or the earlier one.
        ("a0 a20 b25", "ab", "10s", [1, 1]),
        ("a0 b5 c9 a20 b25", "abc", "10s", [1, 1, 1]),
        ("a0 b1 a5 c9 a20 b21", "abc", "9s", [1, 1, 1]),
        # Equal times may advance whatever the order of rows.
        ("b3 a3", "ab", None, [1, 1]),
        ("c3 b3 a3", "abc", "0s", [1, 1, 1]),
        # One row fills one step.
        ("a3", "aa", None, [1, 0]),
        ("a3 a3", "aaa", None, [1, 1, 0]),
        ("a3 b3", "aba", None, [1, 1, 0]),
        ("a3 b3 a3", "aba", None, [1, 1, 1]),
        ("a3", "**", None, [1, 0]),
        ("a3 b3", "*a", None, [1, 1]),
        ("a3 b3", "*ab", None, [1, 1, 0]),
        ("a3 b3 b4", "*ab", None, [1, 1, 1]),
        ("z1 a3 z9", "*a*", None, [1, 1, 1]),
    ],
)
def test_ordered(trail: str, steps: str, window: str | None, expected: list[int]) -> None:
    assert reached(trail, steps, window) == expected


@pytest.mark.parametrize(
    ("trail", "steps", "window", "expected"),
    [
        ("a0 b1 c2", "abc", None, [1, 1, 1]),
        ("a0 z1 b2", "ab", None, [1, 0]),
        ("a0 a1 b2", "ab", None, [1, 1]),
        ("a0 b1 b2 c3", "abc", None, [1, 1, 0]),
        ("a0 b9", "ab", "8s", [1, 0]),
        # Rows of one time stand in whichever order helps, but all of them stand somewhere.
        ("z0 b0 a0", "ab", None, [1, 1]),
        ("a0 z1 b1", "ab", None, [1, 1]),
        ("a0 z1 b1 c2", "abc", None, [1, 1, 0]),
        ("a0 z1 b1 c1", "abc", None, [1, 1, 1]),
        ("a0 a0 b1", "aab", None, [1, 1, 1]),
        ("a0 a0 b1", "ab", None, [1, 1]),
        ("a0 b0 b1", "abb", None, [1, 1, 1]),
        ("a0 z1 b2", "a*b", None, [1, 1, 1]),
        ("a0 z1 z1 b2", "a*b", None, [1, 1, 0]),
    ],
)
def test_strict(trail: str, steps: str, window: str | None, expected: list[int]) -> None:
    assert reached(trail, steps, window, mode="strict") == expected


@pytest.mark.parametrize(
    ("trail", "steps", "window", "expected"),
    [
        ("c0 a5", "abc", None, [1, 1, 0]),
        ("c0 a5 b9", "abc", None, [1, 1, 1]),
        ("c0 a5 b11", "abc", "10s", [1, 1, 0]),
        ("a0 b10", "ab", "10s", [1, 1]),
        ("a0 a1", "ab", None, [1, 0]),
        ("a0 a1", "aa", None, [1, 1]),
        ("z0 a1", "a*", None, [1, 1]),
        ("z0 z1", "a*", None, [1, 0]),
        ("z0", "ab", None, [0, 0]),
    ],
)
def test_unordered(trail: str, steps: str, window: str | None, expected: list[int]) -> None:
    assert reached(trail, steps, window, mode="unordered") == expected


@pytest.mark.parametrize(
    ("trail", "window", "expected"),
    [
        ("a0 x1 b2", None, [0, 0]),
        ("a0 b2 x3", None, [1, 1]),
        ("x0 a1 b2", None, [1, 1]),
        # At the very time of a step, order is free, so it does not lie between.
        ("a1 x1 b2", None, [1, 1]),
        ("a1 b2 x2", None, [1, 1]),
        # Incomplete: up to the window's end, inclusive; without a window, for good.
        ("a0 x10", "10s", [0, 0]),
        ("a0 x10.000001", "10s", [1, 0]),
        ("a0 x999", None, [0, 0]),
        # The most steps win although tainted; among equals the clean attempt wins.
        ("a0 a20 x21 b22", "10s", [0, 0]),
        ("a0 x1 b2 a20 b22", "10s", [1, 1]),
        ("a0 x1 a31", "10s", [1, 0]),
    ],
)
@pytest.mark.parametrize("mode", ["ordered", "unordered"])
def test_exclusion(trail: str, window: str | None, expected: list[int], mode: str) -> None:
    assert reached(trail, "ab", window, mode=mode, exclude=["x"]) == expected


def test_any_of_several_exclusions_taints() -> None:
    events = events_of(("p", "a", 0), ("p", "x", 1), ("p", "b", 2), ("q", "a", 0), ("q", "y", 1))
    assert funnel(events, ["a", "b"], exclude=["x", "y", "x"])[0].reached == [0, 0]
    assert funnel(events, ["a", "b"], exclude=["y"])[0].reached == [1, 1]


def test_an_excluded_row_fills_no_step() -> None:
    assert reached("x0 a5", "*", exclude=["x"]) == [1]
    assert reached("x0", "*", exclude=["x"]) == [0]
    assert reached("x0 a1 b2", "**", mode="strict", exclude=["x"]) == [1, 1]


def test_an_excluded_row_breaks_a_strict_run() -> None:
    assert reached("a0 x1 b2", "ab", mode="strict", exclude=["x"]) == [0, 0]
    assert reached("a0 x1 b2", "ab", "0.5s", mode="strict", exclude=["x"]) == [1, 0]


def test_median_is_from_the_previous_step_of_those_who_got_there() -> None:
    events = events_of(
        ("p", "a", 0), ("p", "b", 10), ("p", "c", 11),
        ("q", "a", 0), ("q", "b", 30),
        ("r", "a", 0), ("r", "b", 50),
        ("s", "a", 0),
    )  # fmt: skip
    assert funnel(events, ["a", "b", "c", "d"]) == [
        FunnelResult(None, [4, 3, 1, 0], [None, 30.0, 1.0, None])
    ]


@pytest.mark.parametrize(
    ("trail", "window", "median"),
    [("a0 a5 b9", None, 9.0), ("a0 a5 b9", "5s", 4.0), ("a0 a5 b9 a20 b21", None, 9.0)],
)
def test_among_equal_attempts_the_earliest_wins(
    trail: str, window: str | None, median: float
) -> None:
    window_us = None if window is None else parse_window(window)
    assert funnel(one(trail), ["a", "b"], window_us=window_us)[0].median_seconds == [None, median]


def test_nobody() -> None:
    assert to_json(funnel(events_of(), ["a", "b"])) == {
        "reached": [0, 0],
        "median_seconds": [None, None],
    }
    assert to_json(funnel(one("z0"), ["a"], by="plan")) == {
        "reached": [0],
        "median_seconds": [None],
        "groups": [],
    }


def test_groups_sum_to_the_total() -> None:
    events = events_of(
        ("p", "a", 0, "max"), ("p", "b", 4, "pro"),
        ("q", "a", 0, "pro"), ("q", "b", 2, None),
        ("r", "a", 0, None), ("r", "b", 9, "pro"),
        ("s", "b", 0, "pro"),
    )  # fmt: skip
    assert to_json(funnel(events, ["a", "b"], by="plan")) == {
        "reached": [3, 3],
        "median_seconds": [None, 4.0],
        "groups": [
            {"value": "max", "reached": [1, 1], "median_seconds": [None, 4.0]},
            {"value": "pro", "reached": [1, 1], "median_seconds": [None, 2.0]},
            {"value": None, "reached": [1, 1], "median_seconds": [None, 9.0]},
        ],
    }


def test_a_group_is_the_value_where_the_winning_attempt_began() -> None:
    events = events_of(
        ("p", "a", 0, "early"), ("p", "z", 20, "no step"), ("p", "a", 20, "late"),
        ("p", "a", 20, "later"), ("p", "b", 25, "end"),
    )  # fmt: skip
    groups = funnel(events, ["a", "b"], window_us=parse_window("10s"), by="plan")[1:]
    assert [(group.group, group.reached) for group in groups] == [("late", [1, 1])]


@pytest.mark.parametrize("mode", ["ordered", "strict", "unordered"])
def test_groups_of_any_plain_type(mode: Any) -> None:
    events = here(one("a0 b1").frame.with_columns(day=pl.date(2024, 1, 2), seats=3, paid=True))
    for by, value in {"day": "2024-01-02", "seats": 3, "paid": True, "event": "a"}.items():
        parts = to_json(funnel(events, ["a", "b"], mode=mode, by=by))["groups"]
        assert [part["value"] for part in parts] == [value]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"steps": []}, "make no funnel"),
        ({"steps": ["a", ""]}, "make no funnel"),
        ({"steps": ["a"] * 65}, "make no funnel"),
        ({"steps": ["a"], "mode": "loose"}, "Mode 'loose' is unknown: choose one of ordered,"),
        ({"steps": ["a"], "window_us": -1}, "is negative"),
        ({"steps": ["a"], "exclude": ["a"]}, "Event 'a' cannot be excluded"),
        ({"steps": ["a"], "exclude": ["*"]}, r"Event '\*' cannot be excluded"),
        ({"steps": ["a"], "by": "tier"}, "no column 'tier' to group by: choose one of entity,"),
        ({"steps": ["a"], "by": "tags"}, "Column 'tags' holds List"),
    ],
)
def test_bad_request_is_one_sentence(request_: dict[str, Any], message: str) -> None:
    events = here(one("a0").frame.with_columns(tags=pl.concat_list("event")))
    with pytest.raises(UsageError, match=message):
        funnel(events, request_.pop("steps"), **request_)


# Peers ------------------------------------------------------------------------------------------

# Case: (what ours gives, why it differs from the peer). docs/funnel.md says the same in words.
NOT_OURS: dict[str, tuple[list[int] | None, str]] = {
    "ph-19": (None, "its first step is the first such event ever, which no step name can say"),
    "ph-26": ([0, 0, 0, 0, 0], "excludes between steps 1 and 2 only; ours between first and last"),
    "ph-27": ([0, 0, 0, 0, 0], "excludes between steps 2 and 3 only"),
    "ph-28": ([0, 0, 0, 0, 0], "excludes between steps 3 and 4 only"),
    "ph-30": ([0, 0, 0, 0, 0], "excludes between steps 2 and 4 only"),
    "ch-07": ([6, 4, 1], "strict_order skips repeats; ours wants contiguous rows"),
    "ch-09": ([5, 4, 3], "strict_order gives up at a step out of order; with ours any entry wins"),
    "ch-10": ([5, 4, 3, 1], "strict_order, and the peer's own reference breaks its rule here"),
    "ch-12": ([1, 1, 1, 1, 1], "strict_increase wants rising times; equal times advance in ours"),
    "ch-13": ([1, 0, 0], "one row fills many steps; one step in ours"),
    "mx-03": ([1, 0], "steps within two seconds swap places; ours has no grace"),
}
NOT_FUNNELS = {
    "ph-43": "entry_cohort_trend",
    "ph-44": "entry_cohort_trend",
    "ph-45": "entry_cohort_trend",
    "ph-46": "entry_cohort_trend",
    "ph-47": "entry_cohort_trend",
    "mf-01": "conversion_rate_by_base_day",
    "km-01": "kaplan_meier",
    "km-02": "kaplan_meier",
    "aj-01": "aalen_johansen",
    "re-01": "retention",
}


def peer_cases() -> list[dict[str, Any]]:
    if not CASES.exists():
        return []
    cases: list[dict[str, Any]] = json.loads(CASES.read_text())["cases"]
    return cases


def ours() -> list[dict[str, Any]]:
    return [case for case in peer_cases() if case["id"] not in NOT_OURS | NOT_FUNNELS]


def events_in(case: dict[str, Any]) -> Events:
    """The case's events, merged and cut to its dates, which is the caller's part of a funnel."""
    frame = here(pl.DataFrame(case["events"], infer_schema_length=None)).frame
    for merge in case.get("identity_merges", []):
        frame = frame.with_columns(pl.col("entity").replace(merge["from"], merge["into"]))
    if "date_range" in case:
        first, last = (date.fromisoformat(day) for day in case["date_range"])
        zone = ZoneInfo(case.get("timezone", "UTC"))
        day = pl.col("at").dt.convert_time_zone(zone.key).dt.date()
        frame = frame.filter(day.is_between(first, last))
    return here(frame)


def run_case(case: dict[str, Any], **more: Any) -> list[FunnelResult]:
    window = case["window"] and parse_window(f"{case['window']['seconds']:f}s")
    excluded = [exclusion["event"] for exclusion in case.get("exclusions", [])]
    return funnel(
        events_in(case),
        case["steps"],
        window_us=window,
        mode=case["mode"],
        exclude=excluded,
        **more,
    )


needs_cases = pytest.mark.skipif(not CASES.exists(), reason="the peers' cases are not beside this")


@needs_cases
def test_every_peer_case_is_spoken_for() -> None:
    cases = {case["id"]: case["kind"] for case in peer_cases()}
    assert len(cases) == 67
    assert NOT_OURS.keys() <= cases.keys()
    assert {case: cases[case] for case in NOT_FUNNELS} == NOT_FUNNELS
    assert len(ours()) == 67 - len(NOT_OURS) - len(NOT_FUNNELS)


@needs_cases
@pytest.mark.parametrize("case", ours(), ids=lambda case: case["id"])
def test_peer_case(case: dict[str, Any]) -> None:
    (result,) = run_case(case)
    assert result.reached == case["expected"]
    for name, seconds in case.get("expected_times_seconds", {}).items():
        _, step, statistic = name.split("_")
        # A mean is a median too while it is of one or two.
        if statistic == "median" or result.reached[int(step) - 1] <= 2:
            assert result.median_seconds[int(step) - 1] == seconds


@needs_cases
@pytest.mark.parametrize(
    "case",
    [case for case in ours() if "expected_per_entity" in case],
    ids=lambda case: case["id"],
)
def test_peer_case_by_entity(case: dict[str, Any]) -> None:
    levels = {group.group: sum(group.reached) for group in run_case(case, by="entity")[1:]}
    assert levels == {who: level for who, level in case["expected_per_entity"].items() if level}


@needs_cases
@pytest.mark.parametrize("case", NOT_OURS)
def test_peer_case_that_is_not_ours(case: str) -> None:
    expected, why = NOT_OURS[case]
    peer = next(each for each in peer_cases() if each["id"] == case)
    assert why
    if expected is None:
        assert not all(isinstance(step, str) for step in peer["steps"])
    else:
        assert run_case(peer)[0].reached == expected != peer["expected"]


# Brute force ------------------------------------------------------------------------------------

Row = tuple[str, int]
Chain = tuple[int, ...]


def chains(rows: Sequence[Row], steps: Sequence[str], mode: str, exclude: str) -> Iterator[Chain]:
    """The times of every chain of rows that fills steps as the mode says, whatever the window."""

    def fills(chain: Sequence[Row], wanted: Sequence[str]) -> bool:
        return all(
            event != exclude and step in (event, "*")
            for (event, _), step in zip(chain, wanted, strict=False)
        )

    in_time = [
        order for order in permutations(rows) if all(a[1] <= b[1] for a, b in pairwise(order))
    ]
    for length in range(1, len(steps) + 1):
        for order in in_time:
            if mode == "strict":
                runs = [order[i : i + length] for i in range(len(order) - length + 1)]
                wanted = [steps[:length]]
            else:
                runs = [*combinations(order, length)]
                wanted = [steps[:length]] if mode == "ordered" else [*permutations(steps, length)]
            for run in runs:
                if any(fills(run, want) for want in wanted):
                    yield tuple(at for _, at in run)


def best_chain(
    rows: Sequence[Row], steps: Sequence[str], window: int | None, mode: str, exclude: str
) -> Chain | None:
    limit = 10**9 if window is None else window
    attempts = []
    for chain in set(chains(rows, steps, mode, exclude)):
        first, last = chain[0], chain[-1]
        end = last - 1 if len(chain) == len(steps) else first + limit
        tainted = any(event == exclude and first < at <= end for event, at in rows)
        if last - first <= limit:
            attempts.append((-len(chain), tainted, chain))
    if not attempts:
        return None
    _, tainted, winner = min(attempts)
    return None if tainted else winner


entity_rows = st.lists(
    st.tuples(st.sampled_from("aabbcxz"), st.integers(0, 6)), min_size=0, max_size=5
)


@settings(max_examples=400, deadline=None)
@given(
    entities=st.lists(entity_rows, min_size=1, max_size=3),
    steps=st.lists(st.sampled_from("aabbc*"), min_size=1, max_size=4),
    window=st.sampled_from([None, 0, 1, 2, 4]),
    exclude=st.sampled_from(["", "x"]),
    mode=st.sampled_from(["ordered", "strict", "unordered"]),
    shuffle=st.randoms(use_true_random=False),
)
def test_equals_brute_force(
    entities: list[list[Row]],
    steps: list[str],
    window: int | None,
    exclude: str,
    mode: Any,
    shuffle: Any,
) -> None:
    winners = [
        chain
        for rows in entities
        if (chain := best_chain(rows, steps, window, mode, exclude)) is not None
    ]
    rows = [
        (f"team {number}", event, at / 1e6)
        for number, rows in enumerate(entities)
        for event, at in rows
    ]
    shuffle.shuffle(rows)
    (result,) = funnel(
        events_of(*rows), steps, window_us=window, mode=mode, exclude=[exclude] if exclude else []
    )
    assert result.reached == [
        sum(len(chain) >= step for chain in winners) for step in range(1, len(steps) + 1)
    ]
    took = [
        [chain[step] - chain[step - 1] for chain in winners if len(chain) > step]
        for step in range(1, len(steps))
    ]
    assert result.median_seconds == [
        None,
        *(statistics.median(each) / 1e6 if each else None for each in took),
    ]


# Size -------------------------------------------------------------------------------------------


def random_events(entities: int, span_us: int, unit_us: int) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    rows = 60_000
    return pl.DataFrame(
        {
            "entity": rng.integers(0, entities, rows),
            "event": pl.Series([*"abcd"]).gather(rng.integers(0, 4, rows)),
            "at": rng.integers(0, span_us // unit_us, rows) * unit_us,
        }
    ).with_columns(pl.col("at").cast(UTC_MICROSECONDS))


def reached_in_a_loop(events: pl.DataFrame, steps: Sequence[str], window_us: int) -> list[int]:
    """The latest entry that has got to each step, row by row; steps differ from each other."""
    levels = []
    for _, trail in events.sort("entity", "at", "event").group_by("entity"):
        entered: list[int | None] = [None] * len(steps)
        for event, at in trail.select("event", pl.col("at").to_physical()).iter_rows():
            if event not in steps:
                continue
            step = steps.index(event)
            entry = at if step == 0 else entered[step - 1]
            if entry is not None and at - entry <= window_us:
                entered[step] = entry
        levels.append(sum(entry is not None for entry in entered))
    return [sum(level > step for level in levels) for step in range(len(steps))]


@pytest.mark.parametrize(
    ("entities", "years", "unit_us"),
    [
        pytest.param(3_000, 1, 86_400_000_000, id="days-fit-one-key"),
        pytest.param(10_000, 20, 1, id="microseconds-need-ranges-of-entities"),
        pytest.param(3_000, 9_000, 1, id="no-key-holds-these-times"),
    ],
)
@pytest.mark.parametrize("range_bits", [1, room._RANGE_BITS])
def test_every_way_of_sorting_counts_the_same(
    entities: int, years: int, unit_us: int, range_bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_RANGE_BITS", range_bits)  # 1 lets more entities meet than fit
    monkeypatch.setattr(room, "_RUN_ROWS", 1_000)
    monkeypatch.setattr(room, "_SLICE_ROWS", 7_000)
    events = random_events(entities, years * 365 * 86_400_000_000, unit_us)
    window_us = years * 60 * 86_400_000_000
    expected = reached_in_a_loop(events, "abc", window_us)
    assert expected[-1] > 0
    for scattered in (
        events,
        events.with_columns(pl.col("entity") * 2**40 - 7),
        events.with_columns(pl.col("entity").cast(pl.Int32) - 1_000),
        events.with_columns(pl.format("team {}", "entity")),
    ):
        assert funnel(here(scattered), [*"abc"], window_us=window_us)[0].reached == expected


def test_one_entity_of_many_equal_rows_stays_linear() -> None:
    events = pl.DataFrame({"entity": "u", "event": ["a"] * 200_000}).with_row_index("at")
    events = events.with_columns(pl.col("at").cast(pl.Int64).cast(UTC_MICROSECONDS))
    for mode in ("ordered", "strict", "unordered"):
        for frame in (events, events.with_columns(pl.col("at").min())):
            result = funnel(here(frame), ["a"] * 8, window_us=10**6, mode=mode, exclude=["x"])
            assert result[0].reached == [1] * 8


def test_texts_that_share_a_hash_stay_apart() -> None:
    text = pl.Series("entity", ["p", "q", "p", "r"])
    same = pl.Series([0, 0, 0, 0], dtype=pl.UInt64)
    close = pl.Series([0, 1, 0, 2], dtype=pl.UInt64)  # alike in the bits that are sorted first
    for first in (text.hash(seed=0), same, close):
        rows = pl.DataFrame({"first_hash": first, "second_hash": text.hash(seed=1)})
        rows = rows.with_columns(at=pl.Series([7, 5, 3, 1]), code=pl.lit(1, pl.UInt8))
        with ThreadPoolExecutor(1) as pool:
            seen = [run() for run in room.runs(rows, pool)]
        times: dict[tuple[int, ...], list[int]] = {}
        for run in seen:
            assert len(set(run.entity)) == len(set(zip(*run.ids, strict=True)))
            for at, *ids in zip(run.at.tolist(), *run.ids, strict=True):
                times.setdefault(tuple(ids), []).append(at)
        assert sorted(times.values()) == [[1], [3, 7], [5]]


# Files ------------------------------------------------------------------------------------------

ROWS = [
    {"entity": "p", "event": "a", "at": "2024-01-31T08:00:00Z", "plan": "pro"},
    {"entity": "p", "event": "b", "at": "2024-01-31T16:00:01.000002+08:00", "plan": "pro"},
]
LOADED = [
    ("p", "a", datetime(2024, 1, 31, 8, tzinfo=UTC), "pro"),
    ("p", "b", datetime(2024, 1, 31, 8, 0, 1, 2, tzinfo=UTC), "pro"),
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    frame = pl.DataFrame(rows, infer_schema_length=None)
    match path.suffix:
        case ".json":
            path.write_text(json.dumps(rows))
        case ".csv":
            frame.write_csv(path)
        case ".parquet":
            frame.write_parquet(path)
        case _:
            path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize("name", ["e.json", "e.jsonl", "e.ndjson", "e.csv", "e.parquet", "[e].CSV"])
def test_every_kind_of_file(tmp_path: Path, name: str) -> None:
    if name.endswith("CSV"):
        path = write(tmp_path / "e.csv", ROWS).rename(tmp_path / name)
    else:
        path = write(tmp_path / name, ROWS)
    assert load_events(path).frame.collect().rows() == LOADED


def at_of(values: Any, **how: Any) -> list[datetime]:
    at = pl.Series("at", values, **how)
    frame = pl.DataFrame({"entity": ["p"] * len(at), "event": ["a"] * len(at), "at": at})
    return here(frame).frame.collect()["at"].to_list()


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-31T08:00:00Z",
        "2024-01-31T08:00:00",
        "2024-01-31 08:00:00.000000",
        "2024-01-31 08:00 UTC",
        "2024-01-31t16:00:00.0+0800",
        "2024-01-31T16:00:00,000000000+08",
        " 2024-01-31T00:00:00-08:00 ",
        "1706688000",
        "1706688000.0",
        "1706688000000",
        "1706688000000000",
        "1706688000000000000",
        "1.706688e9",
    ],
)
def test_time_as_text(text: str) -> None:
    assert at_of([text]) == [datetime(2024, 1, 31, 8, tzinfo=UTC)]


def test_time_texts_of_every_kind_in_one_column() -> None:
    eight = datetime(2024, 1, 31, 8, tzinfo=UTC)
    assert at_of(["2024-01-31T08:00:00Z", "2024-01-31 16:00+08", "1706688000", "2024-01-31"]) == [
        eight,
        eight,
        eight,
        datetime(2024, 1, 31, tzinfo=UTC),
    ]


@pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
def test_time_as_number_takes_its_unit_from_the_column(factor: int) -> None:
    expected = [START, START + timedelta(seconds=1)]
    seconds = int(START.timestamp())
    assert at_of([seconds * factor, (seconds + 1) * factor]) == expected
    assert at_of([float(seconds * factor), float((seconds + 1) * factor)]) == expected


def test_time_keeps_microseconds_and_cuts_what_is_finer() -> None:
    micro = START + timedelta(microseconds=123_456)
    seconds = int(START.timestamp())
    assert at_of(["2024-01-01T00:00:00.123456789Z"]) == [micro]
    assert at_of([f"{seconds}.123456"]) == [micro]
    assert at_of([seconds + 0.123456]) == [micro]
    assert at_of([seconds * 10**9 + 123_456_789]) == [micro]
    assert at_of([seconds * 10**9 + 123_456_789], dtype=pl.Datetime("ns")) == [micro]
    assert at_of([f"{seconds}.123456"], dtype=pl.Decimal(20, 6)) == [micro]


def test_time_columns() -> None:
    assert at_of([date(2024, 1, 1)]) == [START]
    assert at_of([START.replace(tzinfo=None)]) == [START]
    shanghai = pl.Series([START]).dt.convert_time_zone("Asia/Shanghai")
    assert at_of(shanghai) == [START]


def test_rows_of_nobody_or_no_time_are_dropped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = ROWS + [{**ROWS[0], key: value} for key in ("entity", "at") for value in (None, "", " ")]
    for name in ("e.csv", "e.json", "e.parquet"):
        path = write(tmp_path / name, rows)
        for steps in ("ab", "a"):  # whatever the steps are
            assert funnel(load_events(path), [*steps])[0].reached == [1] * len(steps)
            expected = f"{path}: left out 6 of 8 rows that have no entity or no time."
            assert caplog.messages[-1] == expected
    nameless = pl.DataFrame({"entity": [float("nan"), 1.5], "event": "a", "at": 0})
    assert funnel(here(nameless), ["a"])[0].reached == [1]
    assert caplog.messages[-1] == "here: left out 1 of 2 rows that have no entity or no time."


def test_a_row_without_event_is_any_event() -> None:
    frame = pl.DataFrame({"entity": ["p", "p"], "event": [None, "a"], "at": [0, 1]})
    assert funnel(here(frame), ["*", "a"])[0].reached == [1, 1]


def test_numbers_name_events_and_entities(tmp_path: Path) -> None:
    rows = [{"entity": 7, "event": 1003, "at": 0}, {"entity": 7, "event": 1004, "at": 1}]
    for name in ("e.csv", "e.json", "e.parquet"):
        assert funnel(load_events(write(tmp_path / name, rows)), ["1003", "1004"])[0].reached == [
            1,
            1,
        ]


def test_leading_zeros_tell_entities_apart(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("entity,event,at\n01,a,0\n1,b,1\n")
    assert funnel(load_events(path), ["a", "b"])[0].reached == [1, 0]


def test_team_id_stands_for_entity_and_stays(tmp_path: Path) -> None:
    rows = [{"team_id": "p", "event": "a", "at": 0}]
    events = load_events(write(tmp_path / "e.json", rows)).frame.collect()
    assert events["entity"].to_list() == events["team_id"].to_list() == ["p"]
    both = [{"entity": "e", "team_id": "p", "event": "a", "at": 0}]
    assert load_events(write(tmp_path / "e.json", both)).frame.collect()["entity"].to_list() == [
        "e"
    ]


@pytest.mark.parametrize(
    ("name", "content"), [("e.json", "[]"), ("e.jsonl", ""), ("e.csv", "entity,event,at\n")]
)
def test_a_file_without_events_is_nobody(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert funnel(load_events(tmp_path / name), ["a"])[0].reached == [0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.txt", b"", "is of no known kind: give a file that ends in .csv, .json, .jsonl"),
        ("e.csv", b"", r"cannot be read as csv: repair"),
        ("e.csv", b"entity,event,at\np,a,0\np,a,0,9\n", r"cannot be read as csv \(line 3\)"),
        ("e.csv", b"entity,event,at\np,\xff,0\n", r"cannot be read as csv \(line 2\)"),
        ("e.csv", b"entity;event;at\n", "has no column 'entity': it needs entity"),
        ("e.csv", b"entity,event\n", "has no column 'at': it needs .*, and has entity, event."),
        ("e.csv", b"entity,event,at\np,a,0\np,a,soon\n", "has no time in row 2, at = 'soon'"),
        ("e.json", b'[{"entity":1},\n{"entity" 2}]', r"cannot be read as json \(line 2\)"),
        ("e.json", b'[\n"\xff"]', r"cannot be read as json \(line 2\)"),
        ("e.json", b"[1]", "cannot be read as json: repair"),
        ("e.json", b'[{"entity":1,"event":"a","at":true}]', "has Boolean in column 'at'"),
        ("e.json", b'[{"entity":1,"event":"a","at":1e30}]', r"has no time in row 1, at = 1e\+30"),
        ("e.jsonl", b'{"entity":1}\n\n{"entity":\n', r"cannot be read as jsonl \(line 3\)"),
        ("e.jsonl", b'{"entity":1}\n[1]\n', r"cannot be read as jsonl \(line 2\)"),
        ("e.parquet", b"PAR1", "cannot be read as parquet: repair"),
    ],
)
def test_bad_file_is_one_sentence(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message) as error:
        load_events(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("at", ["2024-01-31T08:00:00Z", START], ids=["text", "time"])
def test_a_file_damaged_behind_its_head_is_one_sentence(tmp_path: Path, at: object) -> None:
    path = write(tmp_path / "e.parquet", [{"entity": "p", "event": "a", "at": at}])
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(60) + content[64:])
    with pytest.raises(UsageError) as error:
        funnel(load_events(path), ["a"])
    assert str(error.value) == f"{path} cannot be read: repair or re-export it."


def test_missing_file() -> None:
    with pytest.raises(UsageError, match=r"nowhere\.csv is not a file: check the path"):
        load_events(Path("nowhere.csv"))


def test_entity_that_is_no_text_is_named() -> None:
    frame = pl.DataFrame({"entity": [b"\xff"], "event": ["a"], "at": [0]})
    with pytest.raises(UsageError, match="here has Binary in column 'entity'"):
        clean_events(frame, "here")
