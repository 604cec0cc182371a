"""However the rows of a world are laid into files, the facts are the same, byte for byte."""

import json
import random
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipelines import night, warehouse
from tests import driver
from tests.sources import facts
from tests.sources.test_canonical import EVENT, REQUEST
from tests.sources.test_focus import ROW

FACTS = (
    "fact.member_days", "fact.usage_days", "fact.blocked_hours", "fact.charge_days",
    "fact.subscriptions", "fact.teams", "ref.team_spans", "ref.identity_stretches", "ref.coverage",
    "ops.unallocated_credits", "ops.unmapped_services", "ops.repeated_ids",
)  # fmt: skip
Row = dict[str, Any]


def requests(pick: random.Random) -> list[Row]:
    """Copies, late copies with another outcome, ids on two days, times around midnight."""
    rows = []
    for number in range(40):
        row = REQUEST | {
            "request_id": f"r{number}", "team": f"t{number % 3}", "member": f"m{number % 2}",
            "requested_at": f"2026-01-0{5 + number % 4}T15:5{number % 10}:00Z",
            "received_at": f"2026-01-09T00:00:{number:02d}Z", "input_tokens": 1 + number,
            "status": "ok", "refused_by": None,
        }  # fmt: skip
        rows.append(row)
        if number % 5 == 0:
            again = {"received_at": "2026-01-11T00:00:00Z", "status": "refused", "refused_by": "5h"}
            rows += [row | again, dict(row)]
        if number % 11 == 0:
            rows.append(row | {"requested_at": "2026-01-10T02:00:00Z"})
    pick.shuffle(rows)
    return rows


def statements(pick: random.Random) -> dict[str, list[Row]]:
    """Three snapshots of a month, each restating the ones before it, with credits and parts."""
    found = {}
    for number, name in enumerate(("2024-09-10", "2024-09-20", "2024-10-02")):
        rows = []
        for n in range(12):
            day = 1 + (n * 2) % 25
            rows.append(ROW | {
                "SubAccountId": f"s{n % 3}", "BilledCost": f"{n}.{number}1",
                "EffectiveCost": f"{n}.{number}000000001", "ServiceName": ("Amazon EC2", "Odd")[n % 2],
                "ResourceType": "", "ResourceId": f"x{n}", "ServiceCategory": "Other",
                "ChargePeriodStart": f"2024-09-{day:02d}T00:00:00Z",
                "ChargePeriodEnd": f"2024-09-{day + 1 + n % 3:02d}T00:00:00Z",
            })  # fmt: skip
        credit = {"ServiceName": "", "ResourceType": "", "ChargeCategory": "Credit"}
        rows.append(ROW | credit | {"BilledCost": "-3", "EffectiveCost": f"-{number + 1}"})
        late = {"BillingPeriodStart": "2024-10-01T00:00:00Z", "ChargeClass": "Correction"}
        rows.append(ROW | late | {"BilledCost": "-1", "EffectiveCost": "-1"})
        pick.shuffle(rows)
        found[name] = rows
    return found


def events(pick: random.Random) -> list[Row]:
    rows = []
    for number in range(12):
        day = f"2026-01-{1 + number:02d}T00:00:00Z"
        rows.append(
            EVENT | {"event_id": f"e{number}", "team": f"t{number % 3}", "occurred_at": day}
        )
        rows.append(EVENT | {"event_id": f"e{number // 2}", "team": "t0", "occurred_at": day})
    pick.shuffle(rows)
    return rows


def links(pick: random.Random) -> list[Row]:
    """Versions of a link, a merge, and a sub-account before its account."""
    rows = [
        {"source": source, "source_id": name, "team_id": team, "valid_from": valid_from,
         "valid_to": None, "recorded_at": recorded_at, "method": "manual", "confidence": 1}
        for source, name, team, valid_from, recorded_at in (
            ("gateway", "t0", "one", "2020-01-01", "2025-01-01"),
            ("gateway", "t1", "two", "2020-01-01", "2025-01-01"),
            ("gateway", "t1", "one", "2026-01-07", "2026-01-08"),
            ("billing", "s0", "one", "2020-01-01", "2025-01-01"),
            ("billing", "s0", "uno", "2020-01-01", "2025-02-01"),
            ("billing", "0012", "two", "2024-09-05", "2025-01-01"),
            ("plan", "t0", "one", "2020-01-01", "2025-01-01"),
        )
    ]  # fmt: skip
    pick.shuffle(rows)
    return rows


def deal(rows: list[Row], files: int, repeat: bool, pick: random.Random) -> list[list[Row]]:
    """The rows in so many piles, in any order; with repeat some of them in a second pile too."""
    piles: list[list[Row]] = [[] for _ in range(files)]
    for row in rows:
        for pile in pick.sample(piles, 1 + (repeat and files > 1 and pick.random() < 0.3)):
            pile.append(row)
    return [pile for pile in piles if pile]


def write(path: Path, rows: Iterable[Row], is_csv: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_csv:
        pl.DataFrame(list(rows), infer_schema_length=None).write_csv(path.with_suffix(".csv"))
    else:
        path.with_suffix(".jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def lay(landing: Path, seed: int, files: int, repeat: bool) -> None:
    """A world's landing; charges are split but never repeated: they have no identity."""
    pick = random.Random(seed)
    for source, rows in (("gateway", requests(pick)), ("plan", events(pick)), ("who", links(pick))):
        for n, pile in enumerate(deal(rows, files, repeat, pick)):
            write(landing / source / f"{pick.randrange(10**6)}-{n}", pile, pick.random() < 0.5)
    for snapshot, rows in statements(pick).items():
        for n, pile in enumerate(deal(rows, files, False, pick)):
            name = landing / "billing" / snapshot / f"{pick.randrange(10**6)}-{n}"
            write(name, pile, pick.random() < 0.5)
    if repeat:
        for path in sorted(landing.rglob("*.*")):
            shutil.copyfile(path, path.with_name(f"again-{path.name}"))


def hashes(data: Path) -> dict[str, str]:
    work = night.prepare(driver.places(data))
    with warehouse.build(work.settings.build) as con:
        found = {name: warehouse.content_hash(con, name) for name in FACTS if "subscr" not in name}
        # Which of two equal deliveries is named as the one that fed a row depends on the files.
        con.execute("create temp table s as from fact.subscriptions select * exclude (file, line)")
        return found | {"fact.subscriptions": warehouse.content_hash(con, "s")}


def one_night(seed: int, files: int, repeat: bool) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        lay(data / "landing", seed, files, repeat)
        night.write_directory(facts.load(data))
        return hashes(data)


@pytest.fixture(scope="module")
def expected() -> dict[str, str]:
    return one_night(0, 1, False)


@settings(
    max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.integers(1, 10**6), st.integers(1, 5), st.booleans())
def test_order_repetition_splitting_and_merging_change_nothing(
    expected: dict[str, str], seed: int, files: int, repeat: bool
) -> None:
    assert one_night(seed, files, repeat) == expected


def test_files_that_come_night_after_night_in_any_order_change_nothing(
    expected: dict[str, str], tmp_path: Path
) -> None:
    lay(tmp_path / "all", 3, 3, True)
    paths = sorted(p for p in (tmp_path / "all").rglob("*") if p.is_file())
    random.Random(3).shuffle(paths)
    third = len(paths) // 3
    for part in (paths[:third], paths[third : 2 * third], paths[2 * third :]):
        for path in part:
            target = tmp_path / "landing" / path.relative_to(tmp_path / "all")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        work = facts.load(tmp_path)
    night.write_directory(work)
    assert hashes(tmp_path) == expected
