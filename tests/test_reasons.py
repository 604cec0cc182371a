"""A night rebuilds the days that something touched, and no other, and says what it was."""

import shutil
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from pipelines import night
from pipelines.rollup import inputs
from pipelines.settings import CHECKOUT
from tests import driver
from tests.sources.reading import lines
from tests.sources.test_canonical import REQUEST
from tests.sources.test_focus import ROW

DAYS = ("2026-01-05", "2026-01-06", "2026-01-07")
NOW = {"rules": "1", "links": "a", "fx": "f", "files": {"x": "1", "y": "1"}}
NAMES = {"x": "s/x", "y": "s/y", "z": "s/z"}


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (None, NOW, "first rows, in s/x, s/y"),
        (NOW, None, "none of its files is left"),
        (NOW, NOW, "it was asked for"),
        (NOW, NOW | {"files": NOW["files"] | {"z": "1"}}, "late rows in s/z"),  # type: ignore[operator]
        (NOW, NOW | {"files": {"x": "1"}}, "1 of its files left or are read anew"),
        (NOW, NOW | {"files": {"x": "2", "y": "1"}}, "another snapshot counts than in s/x"),
        (NOW, NOW | {"links": "b"}, "a link changed"),
        (NOW, NOW | {"fx": "g", "rules": "2"}, "the rules changed; fx.csv changed"),
        (None, NOW | {"files": dict.fromkeys("abcde", "")}, "first rows, in a, b, c and 2 more"),
    ],
)
def test_the_reason_names_the_part(
    before: inputs.Inputs | None, now: inputs.Inputs | None, said: str
) -> None:
    assert inputs.reason(before, now, NAMES, "late rows") == said
    same = before is not None and now is not None
    if same and said != "it was asked for":
        assert inputs.fingerprint(before or {}) != inputs.fingerprint(now or {})


def spans(*rows: tuple[str, str, str | None]) -> pl.DataFrame:
    found = [
        ("s", name, "t", date.fromisoformat(a), date.fromisoformat(b) if b else None)
        for name, a, b in rows
    ]
    schema = dict.fromkeys(("source", "source_id", "team_id"), pl.String)
    return pl.DataFrame(found, schema=schema | {"from_on": pl.Date, "to_on": pl.Date}, orient="row")


def test_a_link_touches_only_the_days_on_which_it_holds() -> None:
    days = [date(2026, 1, n) for n in range(1, 11)]
    one = ("a", "2020-01-01", None)
    before = inputs.links_on(spans(one), days)
    after = inputs.links_on(spans(("b", "2026-01-04", "2026-01-07"), one), days)
    assert [d.day for d in days if before[d] != after[d]] == [4, 5, 6]
    assert inputs.links_on(spans(), days)[days[0]] == inputs.links_on(spans(), days)[days[9]]


def test_a_reference_row_touches_only_the_days_on_which_it_holds() -> None:
    days = [date(2026, 1, n) for n in range(1, 11)]
    rules = pl.DataFrame({
        "valid_from": [date(2020, 1, 1), date(2026, 1, 5)], "valid_to": [None, date(2026, 1, 8)],
        "family": ["deploy", "storage"],
    })  # fmt: skip
    before, after = inputs.rules_on(rules.head(1), days), inputs.rules_on(rules, days)
    assert [d.day for d in days if before[d] != after[d]] == [5, 6, 7]
    fx = pl.DataFrame({
        "currency": ["USD", "USD"], "valid_from": [date(2025, 12, 1), date(2026, 1, 6)],
        "cny_per_unit": ["7.1", "7.2"],
    })  # fmt: skip
    before, after = inputs.rates_on(fx.head(1), days), inputs.rates_on(fx, days)
    assert [d.day for d in days if before[d] != after[d]] == [6, 7, 8, 9, 10]


def rebuilt(data: Path, reference: Path | None = None) -> list[str]:
    """What the run's log says of requests, then of charges."""
    work = night.prepare(driver.places(data, reference))
    night.take_stock(work, driver.NOW)
    night.write_reference(work)
    first = night.build_request_days(work)
    return night.told(first) + night.told(night.build_charge_days(work))


def log(data: Path, name: str, *days: str) -> None:
    path = data / "landing" / "gateway" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [REQUEST | {"request_id": f"{name}-{d}", "requested_at": f"{d}T04:00:00Z"} for d in days]
    path.write_text(lines(*rows))


def bill(data: Path, name: str, cost: str, *days: str) -> None:
    path = data / "landing" / "billing" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        ROW | {"ChargePeriodStart": f"{d}T00:00:00Z", "ChargePeriodEnd": "", "EffectiveCost": cost,
               "BillingPeriodStart": "2026-01-01T00:00:00Z"}
        for d in days
    ]  # fmt: skip
    pl.DataFrame(rows).write_csv(path)


def test_each_night_says_which_days_and_why(tmp_path: Path) -> None:
    log(tmp_path, "a.jsonl", *DAYS)
    bill(tmp_path, "2026-01-08/a.csv", "1", *DAYS)
    assert rebuilt(tmp_path) == [
        "3 days, 2026-01-05 to 2026-01-07: first rows, in gateway/a.jsonl",
        "3 days, 2026-01-05 to 2026-01-07: first rows, in billing/2026-01-08/a.csv",
    ]
    assert rebuilt(tmp_path) == []
    log(tmp_path, "b.jsonl", DAYS[1], "2026-01-09")
    assert rebuilt(tmp_path) == [
        "2026-01-06: late requests in gateway/b.jsonl",
        "2026-01-09: first rows, in gateway/b.jsonl",
    ]
    bill(tmp_path, "2026-01-09/a.csv", "2", *DAYS[1:])
    late = "late, corrected or restated charges in billing/2026-01-09/a.csv"
    assert rebuilt(tmp_path) == [
        "2026-01-05: another snapshot counts than in billing/2026-01-08/a.csv",
        f"2 days, 2026-01-06 to 2026-01-07: {late}; "
        "another snapshot counts than in billing/2026-01-08/a.csv",
    ]
    link = {"source": "gateway", "source_id": "0042", "team_id": "t", "valid_from": DAYS[2],
            "valid_to": "2026-01-09", "recorded_at": "2026-01-09T00:00:00Z"}  # fmt: skip
    (tmp_path / "landing" / "who").mkdir()
    (tmp_path / "landing" / "who" / "links.jsonl").write_text(lines(link))
    assert rebuilt(tmp_path) == ["2026-01-07: a link changed"] * 2
    reference = tmp_path / "reference"
    shutil.copytree(CHECKOUT / "data" / "reference", reference)
    with (reference / "services.csv").open("a") as file:
        file.write(f"9999,,%anything%,,,,,,deploy,{DAYS[2]},,test\n")
    assert rebuilt(tmp_path, reference) == ["2026-01-07: services.csv changed"]
    with night.warehouse.build(driver.places(tmp_path).build) as con:
        kept = con.execute(
            "select reason from ops.built_days where usage_on = '2026-01-06' order by family"
        ).fetchall()
    assert kept == [(f"{late}; another snapshot counts than in billing/2026-01-08/a.csv",),
                    ("late requests in gateway/b.jsonl",)]  # fmt: skip
