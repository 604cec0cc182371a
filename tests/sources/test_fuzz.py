"""A quick round of fuzz.py, and rows drawn by hypothesis; the long round is a documented command."""

import json
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.sources import registry
from tests.sources import fuzz, reading
from tests.sources.test_canonical import REQUEST
from tests.sources.test_focus import ROW

COUNT = 500
TEXTS = st.one_of(st.sampled_from(fuzz.EXTREMES), st.text(max_size=30), st.floats().map(str),
                  st.integers().map(str), st.decimals().map(str), st.datetimes().map(str))  # fmt: skip
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
QUICK = settings(
    max_examples=100, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


def test_every_outcome_is_accepted_or_rejected(tmp_path: Path) -> None:
    done = fuzz.run(tmp_path, seed=1, seconds=60, count=COUNT)
    assert done.outcomes.total() >= 200
    assert min(done.outcomes.values()) > 20, done.outcomes
    assert len(done.formats) >= 10, done.formats


@QUICK
@given(st.dictionaries(st.sampled_from(sorted(ROW)), TEXTS, max_size=3))
def test_any_text_in_a_bill_is_read_or_rejected(tmp_path: Path, change: dict[str, str]) -> None:
    rows = [ROW, ROW | {k: v.encode("utf-8", "replace").decode() for k, v in change.items()}]
    path = tmp_path / "x.csv"
    pl.DataFrame(rows).write_csv(path)
    found = reading.read(path)
    assert len(found.rows) + len(found.rejects) == 2


@QUICK
@given(st.dictionaries(st.sampled_from(sorted(REQUEST)), VALUES, max_size=3))
def test_any_json_in_a_request_is_read_or_rejected(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(REQUEST | change) + "\n" + json.dumps(REQUEST) + "\n", "utf-8")
    found = reading.read(path)
    assert len(found.rows) + len(found.rejects) == 2


@QUICK
@given(st.binary(max_size=300))
def test_any_bytes_are_something_or_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    assert registry.detect(path) is not None or registry.why_not(path)
