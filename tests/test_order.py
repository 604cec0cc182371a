"""Order, splitting and repetition of landing files don't matter, and a night after a night equals
one night over everything: the content hash of every journey and metric table is the same."""

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from tests import driver, strategies
from tests.reference import Evidence
from tests.test_random_worlds import reference_with
from tests.test_restatements import contents

HASHES = "select name, hash from ops.table_hashes order by name"


def deliver(landing: Path, target: Path, until: str) -> None:
    """Copy the files that were recorded up to a moment, with their manifests."""
    for manifest in sorted(landing.glob("*/manifest.jsonl")):
        folder = target / manifest.parent.name
        kept = [
            line
            for line in manifest.read_text("utf-8").splitlines()
            if json.loads(line)["recorded_at"] <= until
        ]
        for line in kept:
            name = json.loads(line)["file"]
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(manifest.parent / name, folder / name)
        if kept:
            (folder / "manifest.jsonl").write_text("\n".join(kept) + "\n", "utf-8")


def moments(landing: Path) -> list[str]:
    return sorted(
        {
            json.loads(line)["recorded_at"]
            for manifest in landing.glob("*/manifest.jsonl")
            for line in manifest.read_text("utf-8").splitlines()
        }
    )


def facts(data: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every fact, row by row: what the incremental part writes."""
    names = driver.query(
        data, "select table_name from duckdb_tables() where schema_name = 'fact' order by 1"
    )
    return {str(name): driver.query(data, f"from fact.{name} order by all") for (name,) in names}


def has_everything(world: Evidence) -> bool:
    """Late rows, second deliveries, refunds, corrections, vouchers and merges are in this world."""
    ids = [(r.source, r.request_id) for r in world.requests]
    late = any(r.recorded_at - r.requested_at > timedelta(days=3) for r in world.requests)
    corrected = any(c.charge_class == "Correction" for c in world.charges)
    credits = [c for c in world.charges if c.category == "Credit"]
    sources = {(link.source, link.source_id): set[str]() for link in world.links}
    for link in world.links:
        sources[(link.source, link.source_id)].add(link.team_id)
    return (
        late and corrected and len(set(ids)) < len(ids)
        and any(c.service for c in credits) and any(c.service is None for c in credits)
        and any(len(teams) > 1 for teams in sources.values())
    )  # fmt: skip


SEEDS = [21, 28, *range(100, 100 + int(os.environ.get("CLOUDBOUND_TEST_SEEDS") or 0))]


@pytest.mark.parametrize("seed", SEEDS)
def test_night_after_night_equals_one_night(seed: int, tmp_path: Path) -> None:
    world = strategies.make_world(seed)
    assert has_everything(world) or seed >= 100
    whole, grown = tmp_path / "whole", tmp_path / "grown"
    strategies.write_landing(world, whole / "landing", files=3, shuffle_seed=seed)
    folder = reference_with(tmp_path / "reference")
    driver.run(whole, reference=folder)
    recorded = moments(whole / "landing")
    for part in (len(recorded) // 3, 2 * len(recorded) // 3, len(recorded) - 1):
        deliver(whole / "landing", grown / "landing", recorded[part])
        driver.run(grown, reference=folder, run_id=str(part))
    assert facts(grown) == facts(whole)
    assert driver.query(grown, HASHES) == driver.query(whole, HASHES)
    known = contents(grown)
    assert len({cause for cause, _, content in known if content}) == 4
    assert known == contents(grown, anew=True)


def test_shuffled_split_and_repeated_files_end_in_the_same_tables(tmp_path: Path) -> None:
    world = strategies.make_world(23)
    folder = reference_with(tmp_path / "reference")
    found = []
    for number, files in enumerate((1, 4)):
        data = tmp_path / str(number)
        strategies.write_landing(world, data / "landing", files=files, shuffle_seed=number)
        driver.run(data, reference=folder)
        found.append(driver.query(data, HASHES))
    assert found[0] == found[1]
    again = tmp_path / "1" / "landing"
    repeated = 0
    for path in sorted(again.rglob("requests-*"))[:5] + sorted(again.rglob("bill-*"))[:3]:
        shutil.copyfile(path, path.with_name(f"again-{path.name}"))
        repeated += 1
    driver.run(tmp_path / "1", reference=folder, run_id="again")
    assert driver.query(tmp_path / "1", HASHES) == found[0]
    copies = driver.query(
        tmp_path / "1", "select count(*), sum(accepted) from ops.files where file like '%again-%'"
    )
    assert copies == [(repeated, 0)]
