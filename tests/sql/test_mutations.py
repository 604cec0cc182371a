"""Planted bugs: each one turns the case that it names red.

Belongs here: running mutations.yaml, one textual change per bug that somebody could make.
Does not belong here: changes that leave every result the same (`coalesce` inside `case when`).

A mutation may name the stopping check that it breaches: then the case must turn red through that
check. So every stopping check is shown to breach, by a case with hand-made input or by a bug.
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
import yaml  # type: ignore[import-untyped]  # drop with a PyYAML that ships its types

from pipelines import sql_assets
from pipelines.settings import SQL
from tests.sql import runner


@dataclass(frozen=True)
class Mutation:
    """In `file` below sql/, text that occurs once becomes another text."""

    file: str
    name: str
    old: str
    new: str
    seen_by: str
    breaches: str = ""
    read_by: str = ""

    @property
    def table(self) -> str:
        """The table that the case is of; a macro has one that reads it."""
        return (self.read_by or self.file).replace("/", ".")

    @property
    def id(self) -> str:
        return f"{self.file}-{self.name}".replace(" ", "_")

    def text(self) -> str:
        """The file with the bug."""
        text = (SQL / f"{self.file}.sql").read_text("utf-8")
        assert text.count(self.old) == 1, f"{self.old!r} occurs {text.count(self.old)} times"
        return text.replace(self.old, self.new)


def planted() -> list[Mutation]:
    document = yaml.safe_load((runner.HERE / "mutations.yaml").read_text("utf-8"))
    return [Mutation(file=file, **one) for file, found in document.items() for one in found]


MUTATIONS = planted()
ASSETS = {asset.name: asset for asset in sql_assets.load_all()}
CASES = {(case.table, case.path.stem): case for case in runner.cases()}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[m.id for m in MUTATIONS])
def test_a_planted_bug_turns_its_case_red(
    con: duckdb.DuckDBPyConnection, mutation: Mutation, tmp_path: Path
) -> None:
    asset, prelude = ASSETS.get(mutation.table), ""
    if mutation.file.startswith("macros/"):
        prelude = mutation.text()
    else:
        path = tmp_path / f"{mutation.file}.sql"
        path.parent.mkdir()
        path.write_text(mutation.text(), "utf-8")
        asset = sql_assets.parse(path, con)
    found = runner.faults(con, asset, CASES[mutation.table, mutation.seen_by], prelude)
    sign = f"{mutation.breaches}:" if mutation.breaches else ""
    assert any(fault.startswith(sign) for fault in found), f"not seen, only {found}"


def test_every_stopping_check_is_shown_to_breach() -> None:
    every = {(a.name, c.name) for a in ASSETS.values() for c in a.checks if c.stops}
    shown = {(case.table, name) for case in CASES.values() for name in case.expect_breaches}
    shown |= {(m.table, m.breaches) for m in MUTATIONS if m.breaches}
    # An unpivot leaves nulls out, so an event without a time can't come about.
    assert every - shown == {("journey.milestones", "every_milestone_has_a_time")}


def test_every_table_has_a_planted_bug() -> None:
    assert set(ASSETS) <= {m.table for m in MUTATIONS}


def test_no_two_planted_bugs_share_a_name() -> None:
    assert len({m.id for m in MUTATIONS}) == len(MUTATIONS)
