"""A world of five teams whose night takes a second, and what a published file must be.

Belongs here: the landing of the robustness tests, and the question whether a file is whole.
Does not belong here: what the numbers should be (tests/hand, tests/reference.py).
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import duckdb

from tests.hand import world
from tests.hand.world import World

FIRST, LATE = "2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z"

CONSISTENT = """
    select
        clock.as_of,
        (select bool_and(h.as_of = clock.as_of and h.definition = clock.definition)
            from metric.headline as h)
        and (select max_by(r.as_of, r.published_at) = clock.as_of from ops.runs as r)
        and (select any_value(h.teams) from metric.headline as h where h.is_headline)
            = (select count(*) from journey.teams as t
                where t.integrated_on < t.censored_on and t.integrated_on <= clock.data_complete_on
                and t.state_at_t0 in ('new', 'dormant'))
        and (select any_value(h.moved) from metric.headline as h where h.is_headline)
            = (select count(*) from journey.teams as t
                where t.state_at_t0 in ('new', 'dormant')
                and t.moved_after_t0_on <= t.censored_on
                and t.moved_after_t0_on - t.integrated_on <= 90)
        as is_whole
    from ops.clock as clock
"""


def first(landing: Path) -> None:
    """Five teams: two movers, one that stays, one native, one that never worked."""
    _lay(landing, _lives(World()), world.OLD_SNAPSHOT, "requests.jsonl", "events.jsonl", FIRST)


def late(landing: Path) -> None:
    """A day later: the stayer's workload in a new bill, and a sixth team."""
    w = _lives(World())
    w.run("stays", world.days_from("2025-11-10", 25))
    w.usual("late")
    w.requests = {k: [r for r in v if r["team"] == "late"] for k, v in w.requests.items()}
    w.subscriptions = [s for s in w.subscriptions if s["team"] == "late"]
    _lay(landing, w, world.SNAPSHOT, "requests-late.jsonl", "events-late.jsonl", LATE)


def _lives(w: World) -> World:
    for name in ("moves", "moves-soon", "stays", "native"):
        w.usual(name)
    w.pay("idle")
    w.run("moves", world.days_from("2025-11-01", 25))
    w.run("moves-soon", world.days_from("2025-10-20", 25))
    w.run("native", world.days_from("2025-08-01", 40))
    w.charge("idle", "2025-04-01", "1.00", service=world.MODELS)
    w.charge("idle", "2026-04-29", "1.00", service=world.MODELS)
    w.request("idle", world.local("2026-04-30", 10))
    return w


def _lay(
    landing: Path, w: World, snapshot: str, requests: str, events: str, recorded_at: str
) -> None:
    rows = [row for file in w.requests.values() for row in file]
    _lines(landing / "gateway" / requests, rows)
    _lines(landing / "plan" / events, w.subscriptions)
    bill = [row for (_, _), found in w.charges.items() for row in found]
    _table(landing / "billing" / snapshot / "bill.csv", world.FOCUS_COLUMNS, bill)
    names = sorted({str(r["team"]) for r in rows} | {str(s["team"]) for s in w.subscriptions})
    team = dict.fromkeys(world.TEAM_COLUMNS, "any") | {"opened_at": "2023-01-01T00:00:00Z"}
    teams = [team | {"team_id": n} for n in names]
    _lines(landing / "directory" / f"teams-{snapshot}.jsonl", teams)
    for source in sorted(p for p in landing.iterdir() if p.is_dir()):
        known = {}
        manifest = source / "manifest.jsonl"
        if manifest.is_file():
            for line in manifest.read_text("utf-8").splitlines():
                row = json.loads(line)
                known[source / row["file"]] = row["recorded_at"]
        files = [p for p in source.rglob("*") if p.is_file() and p != manifest]
        world.write_manifest(source, {p: known.get(p, recorded_at) for p in files})


def _lines(path: Path, rows: Sequence[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def _table(path: Path, columns: Sequence[str], rows: Sequence[world.Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(["" if row[c] is None else row[c] for c in columns] for row in rows)


Version = tuple[tuple[str, str], ...]


def version(published: Path) -> Version:
    """Every derived table and fact with a hash of its rows, after showing that the file is whole.

    The hashes that the night recorded must be those of the rows, and the tables must agree.
    """
    with duckdb.connect(str(published), read_only=True) as con:
        recorded = con.execute("select name, hash from ops.table_hashes order by 1").fetchall()
        assert recorded
        assert [(n, _hash(con, n)) for n, _ in recorded] == recorded
        assert [row[1] for row in con.execute(CONSISTENT).fetchall()] == [True]
        facts = con.execute(
            "select schema_name || '.' || table_name from duckdb_tables() "
            "where schema_name in ('fact', 'ref') order by 1"
        ).fetchall()
        return (*recorded, *((n, _hash(con, n)) for (n,) in facts))


def _hash(con: duckdb.DuckDBPyConnection, table: str) -> str:
    count, xor, total = con.execute(
        f"select count(*), coalesce(bit_xor(hash(t)), 0), coalesce(sum(hash(t)::hugeint), 0) "
        f"from {table} as t"
    ).fetchall()[0]
    return f"{count}-{xor:x}-{total:x}"
