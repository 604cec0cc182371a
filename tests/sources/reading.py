"""Reads a file as the lake does: detect, adapter, contract; for the tests of sources."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pipelines import contracts, reference
from pipelines.settings import CHECKOUT
from pipelines.sources import registry
from pipelines.sources.base import Format, Options

SHARED = CHECKOUT.parent / "shared" / "data"
CURRENCIES = reference.load(CHECKOUT / "data" / "reference").currencies


@dataclass(frozen=True)
class Reading:
    """What became of a file's rows."""

    form: str
    because: str
    rows: list[dict[str, Any]]
    rejects: list[dict[str, Any]]
    warnings: list[str]

    @property
    def reasons(self) -> list[str]:
        return [r["reason"] for r in self.rejects]

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


def write(folder: Path, name: str, content: bytes | str) -> Path:
    """The content under a name, compressed when the name says so."""
    path = folder / name
    raw = content.encode("utf-8") if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def lines(*objects: Any) -> str:
    return "".join(json.dumps(o) + "\n" for o in objects)


def read(path: Path, timezone: str = "UTC", form: Format | None = None) -> Reading:
    """Every row accepted or rejected with a reason, and no two rows with one line."""
    found = (form, "as asked") if form else registry.detect(path)
    assert found is not None, registry.why_not(path)
    adapter, because = found
    good: list[pl.DataFrame] = []
    bad: list[pl.DataFrame] = []
    warnings: set[str] = set()
    for chunk in adapter.read(path, Options(timezone=timezone)):
        accepted, rejected = contracts.split(adapter.family, chunk.rows, chunk.raw, CURRENCIES)
        assert accepted.height + rejected.height == chunk.rows.height
        good.append(accepted)
        bad += [rejected, chunk.broken]
        warnings |= set(chunk.warnings)
    rejects = pl.concat(bad).sort("line") if bad else pl.DataFrame(schema=contracts.REJECTED)
    assert rejects["reason"].null_count() == 0 and (rejects["reason"] != "").all()
    rows = pl.concat(good) if good else contracts.empty(adapter.family)
    line_numbers = pl.concat([rows["line"], rejects["line"]])
    assert line_numbers.is_unique().all(), "two rows share a line"
    return Reading(adapter.name, because, rows.to_dicts(), rejects.to_dicts(), sorted(warnings))
