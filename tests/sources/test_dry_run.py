"""cloudbound ingest --dry-run: what would be read, mapped, warned and rejected; nothing written."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipelines.cli import cli
from tests.sources.reading import lines, write
from tests.sources.test_canonical import REQUEST
from tests.sources.test_focus import ROW


def run(data: Path, *arguments: str) -> str:
    done = CliRunner(env={"CLOUDBOUND_DATA": str(data)}).invoke(
        cli, ["ingest", "--dry-run", *arguments], catch_exceptions=False
    )
    assert done.exit_code == 0
    return done.output


def answers(data: Path, *arguments: str) -> Any:
    return json.loads(run(data, "--json", *arguments), parse_float=Decimal)


def bill(folder: Path) -> Path:
    rows = [
        ROW,
        ROW
        | {
            "ServiceName": "Quantum Annealer",
            "ServiceCategory": "",
            "ResourceType": "",
            "EffectiveCost": "7",
        },
        ROW | {"BillingCurrency": "XTS"},
        ROW | {"BilledCost": "n/a"},
        ROW | {"ContractedCost": ""},
    ]
    text = "\n".join([",".join([*ROW, "x_Team"]), *(",".join([*r.values(), "t"]) for r in rows)])
    return write(folder, "bill.csv", text)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_bill_says_what_is_read_mapped_warned_and_rejected(tmp_path: Path, data: Path) -> None:
    (found,) = answers(data, str(bill(tmp_path)))
    assert (found["format"], found["family"], found["lands_as"]) == ("focus", "charges", None)
    assert found["because"].startswith("it has the FOCUS columns BilledCost")
    assert (found["rows_read"], found["accepted"], found["rejected"]) == (5, 3, 2)
    assert (found["first_on"], found["last_on"]) == ("2024-09-03", "2024-09-03")
    mapped = {c["column"]: c for c in found["columns"]}
    assert mapped["account"] == {
        "column": "account", "from": ["BillingAccountId"], "filled": 3, "example": "0012",
    }  # fmt: skip
    assert mapped["service_subcategory"]["filled"] == 0
    assert found["unmapped"] == ["ContractedCost", "x_Team"]
    assert {(r["reason"], r["rows"], r["first_line"]) for r in found["rejects"]} == {
        ("it is not true that currency has a rate in fx csv", 1, 4),
        ("BilledCost can't be read as an amount", 1, 5),
    }
    assert found["warnings"] == [
        "ContractedCost is null on usage rows in some rows",
        "ServiceCategory is null in some rows",
    ]
    assert [(f["family"], f["rows"], f["cost"]) for f in found["families"]] == [
        ("other", 1, 7), ("storage", 2, Decimal("2.5")),
    ]  # fmt: skip
    (unknown,) = found["unknown_services"]
    assert (unknown["service"], unknown["cost"]) == ("Quantum Annealer", 7)
    assert not data.exists()


def test_the_table_says_the_same(tmp_path: Path, data: Path) -> None:
    said = run(data, str(bill(tmp_path)), "--source", "billing")
    for part in (
        "looks like focus, because it has the FOCUS columns",
        "lands as billing/bill.csv",
        "charges: 5 rows read, 3 accepted, 2 rejected, 2024-09-03 to 2024-09-03",
        "account               BillingAccountId",
        "not mapped: ContractedCost, x_Team",
        "Quantum Annealer",
        "warned",
        "ContractedCost is null on usage rows",
        "1               5   BilledCost can't be read as an amount",
        "Nothing was taken in.",
    ):
        assert part in said
    assert not data.exists()


def test_several_files_and_folders_each_have_an_answer(tmp_path: Path, data: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    write(folder, "a.jsonl", lines(REQUEST))
    write(folder, "b.bin", b"\x03\x04 what is this")
    write(folder, "c.csv.gz", "request_id,team,requested_at,status\n")
    cut = write(tmp_path, "cut.parquet", b"PAR1 cut short")
    found = answers(data, str(folder), str(cut))
    assert [(f["format"], f["rejected_whole"]) for f in found] == [
        ("canonical_requests", None),
        (None, "it is csv with the columns ?? what is this, which no format has"),
        ("canonical_requests", "the file has no rows"),
        (None, "it is no parquet file that can be opened"),
    ]
    said = run(data, str(folder), str(cut))
    assert said.count("would be rejected whole") == 3
    assert "\x03" not in said and not data.exists()


def test_a_format_that_was_asked_for_is_tried(tmp_path: Path, data: Path) -> None:
    path = write(tmp_path, "a.csv", "id,who\n1,2\n")
    (found,) = answers(data, str(path), "--format", "canonical_requests")
    assert found["because"] == "you said so"
    assert found["rejected_whole"].startswith("it has none of the columns request_id, team")


def test_names_in_a_file_are_text_not_markup_nor_terminal_codes(tmp_path: Path, data: Path) -> None:
    name = "[red]=cmd|'/C calc'!A1[/red]\x1b[31m"
    said = run(data, str(write(tmp_path, "a.jsonl", lines(REQUEST | {"team": name}))))
    assert "[red]=cmd|'/C calc'!A1[/red]?[3" in said and "\x1b" not in said


def test_it_needs_no_source_but_taking_in_does(tmp_path: Path, data: Path) -> None:
    path = write(tmp_path, "a.jsonl", lines(REQUEST))
    done = CliRunner(env={"CLOUDBOUND_DATA": str(data)}).invoke(cli, ["ingest", str(path)])
    assert "--source is missing" in str(done.exception) and not data.exists()
    done = CliRunner(env={"CLOUDBOUND_DATA": str(data)}).invoke(
        cli, ["ingest", str(path), "--source", "gateway", "--json"]
    )
    assert json.loads(done.output) == [
        {"file": "gateway/a.jsonl", "format": "canonical_requests",
         "because": "it has the columns request_id, team, requested_at, status"}
    ]  # fmt: skip
