"""Nothing lost: rows and money of every file are accepted, rejected, superseded or duplicate."""

import gzip
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from pipelines import lake
from pipelines.errors import CheckFailed
from tests import driver
from tests.sources import facts
from tests.sources.test_focus import ROW

HEADER = ",".join(ROW)


def bill(landing: Path, name: str, *changes: dict[str, str]) -> None:
    path = landing / name
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [",".join((ROW | change).values()) for change in changes]
    text = "\n".join([HEADER, *rows, ""])
    raw = text.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Each way for a row not to count, beside rows that do, in three currencies."""
    landing = tmp_path / "landing"
    third = {"BilledCost": "0.123456789012345678", "EffectiveCost": "0.000000000000000001"}
    bill(landing, "billing/2024-09-10/a.csv", {"BilledCost": "100", "EffectiveCost": "90"})
    bill(
        landing, "billing/2024-09-11/a.csv",
        {"ChargePeriodEnd": "2024-09-06T00:00:00Z", "BilledCost": "10", "EffectiveCost": "0.1"},
        third,
        {"BilledCost": "7", "BillingAccountId": ""},
        {"BilledCost": "n/a", "EffectiveCost": "3.25"},
        {"BilledCost": "-5", "EffectiveCost": "-5", "BillingCurrency": "eur", "ServiceName": ""},
        {"BilledCost": "8", "EffectiveCost": "8", "BillingCurrency": "XTS"},
        {"BilledCost": "9", "EffectiveCost": "9", "BillingCurrency": ""},
        {"BilledCost": "", "EffectiveCost": ""},
        {"BilledCost": "4", "EffectiveCost": "", "ChargePeriodStart": "soon"},
    )  # fmt: skip
    with (landing / "billing/2024-09-11/a.csv").open("a") as file:
        file.write("a,ragged,row\n")
    (landing / "billing/2024-09-11/again.csv").write_bytes(
        (landing / "billing/2024-09-11/a.csv").read_bytes()
    )
    bill(landing, "odd/2024-09-11/cut.csv.gz", *[{"BilledCost": f"0.{n:05d}"} for n in range(5000)])
    cut = landing / "odd/2024-09-11/cut.csv.gz"
    cut.write_bytes(cut.read_bytes()[:-20])
    return tmp_path


def money(data: Path) -> dict[tuple[str, str], dict[str, Decimal]]:
    names = [
        f"{kind}{part}"
        for kind in ("billed", "effective")
        for part in ("_in", "", "_rejected", "_superseded")
    ]
    rows = facts.query(data, f"select source, currency, {', '.join(names)} from ops.money")
    return {(str(r[0]), str(r[1])): dict(zip(names, r[2:], strict=True)) for r in rows}  # type: ignore[arg-type]


def test_money_in_is_money_in_the_facts_rejected_and_superseded(data: Path) -> None:
    facts.load(data)
    found = money(data)
    third = Decimal("0.123456789012345678")
    usd = found["billing", "USD"]
    assert usd["billed"] == 10 + third and usd["effective"] == Decimal("0.100000000000000001")
    assert usd["billed_rejected"] == 7 + 4
    assert usd["effective_rejected"] == Decimal("1.25") + Decimal("3.25")
    assert (usd["billed_superseded"], usd["effective_superseded"]) == (100, 90)
    assert usd["billed_in"] == 10 + third + 11 + 100
    assert found["billing", "EUR"]["billed"] == -5
    assert found["billing", "XTS"]["billed_rejected"] == 8
    assert found["billing", ""]["billed_rejected"] == 9
    for row in found.values():
        for kind in ("billed", "effective"):
            parts = [row[f"{kind}{p}"] for p in ("", "_rejected", "_superseded")]
            assert row[f"{kind}_in"] == sum(parts)


def test_rows_add_up_also_in_a_file_that_breaks_off(data: Path) -> None:
    facts.load(data)
    files = facts.query(
        data, "select file, rows_read, accepted, rejected, superseded, duplicate from ops.files"
    )
    counts = {str(row[0]): row[1:] for row in files}
    assert counts["billing/2024-09-10/a.csv"] == (1, 0, 0, 1, 0)
    assert counts["billing/2024-09-11/a.csv"] == (10, 3, 7, 0, 0)
    assert counts["billing/2024-09-11/again.csv"] == (10, 0, 0, 0, 10)
    cut = counts["odd/2024-09-11/cut.csv.gz"]
    assert cut[0] == cut[2] and cut[1] == cut[3] == cut[4] == 0
    whole = facts.query(data, "select reason from ops.rejects where line = 0")
    assert len(whole) == 1 and "damaged" in str(whole[0][0])
    rejected = facts.query(
        data, "select count(*) from ops.rejects where file = 'billing/2024-09-11/a.csv'"
    )
    assert rejected == [(7,)]


def test_a_rejects_amounts_stand_beside_it(data: Path) -> None:
    facts.load(data)
    rows = facts.query(
        data,
        "select line, currency, billed, effective from ops.rejects "
        "where file = 'billing/2024-09-11/a.csv' order by line",
    )
    assert rows[1] == (5, "USD", None, Decimal("3.25"))
    assert rows[-1] == (11, None, None, None)


@pytest.mark.parametrize("lost", ["good", "rejected"])
def test_a_row_that_is_lost_stops_the_night(
    data: Path, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutation: one of the row's two ways swallows it."""
    split = lake.contracts.split

    def lossy(*arguments: object) -> tuple[pl.DataFrame, pl.DataFrame]:
        good, rejected = split(*arguments)  # type: ignore[arg-type]
        return (good.head(-1), rejected) if lost == "good" else (good, rejected.tail(-1))

    monkeypatch.setattr(lake.contracts, "split", lossy)
    with pytest.raises(
        CheckFailed, match="money in is money in the facts, rejected, superseded or forgotten"
    ):
        driver.run(data)
    assert not (data / "cloudbound.duckdb").exists()
