"""What a day of facts is made of, and why it has to be made again.

Belongs here: the parts of a day's fingerprint, narrowed to what can touch that day, and the
sentence that names the parts that differ. Does not belong here: the making (requests.py,
charges.py), where fingerprints are kept (night.py).

A day's inputs are {part: hash, "files": {name in the lake: what counts in it}}.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import numpy as np
import polars as pl

Inputs = dict[str, Any]
SENTENCES = {
    "rules": "the rules changed",
    "links": "a link changed",
    "credits": "a credit changed",
    "models": "models.csv changed",
    "services": "services.csv changed",
    "fx": "fx.csv changed",
}
_SHOWN = 3


def fingerprint(inputs: Inputs) -> str:
    """16 hex digits: equal inputs, equal facts."""
    return hash_of(json.dumps(inputs, sort_keys=True))


def hash_of(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def reason(before: Inputs | None, now: Inputs | None, names: Mapping[str, str], late: str) -> str:
    """Why a day is made (before is null), made again, or taken away (now is null).

    names: name in the lake -> delivered file; late: what another file for a known day brings.
    """
    if now is None:
        return "none of its files is left"
    files = set(now["files"])
    if before is None:
        return f"first rows, in {_listed(files, names)}"
    known = set(before["files"])
    said = []
    if new := files - known:
        said.append(f"{late} in {_listed(new, names)}")
    if gone := known - files:
        said.append(f"{len(gone)} of its files left or are read anew")
    if judged := {f for f in files & known if now["files"][f] != before["files"][f]}:
        said.append(f"another snapshot counts than in {_listed(judged, names)}")
    said += [what for part, what in SENTENCES.items() if now.get(part) != before.get(part)]
    return "; ".join(said) or "it was asked for"


def _listed(files: Iterable[str], names: Mapping[str, str]) -> str:
    shown = sorted(names.get(f, f) for f in files)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def links_on(spans: pl.DataFrame, days: Iterable[date]) -> dict[date, str]:
    """Day -> hash of the links that hold on it.

    A running sum of the links' hashes, each added on its first day and taken away after its
    last: whatever their number, a day costs one look.
    """
    hashes = spans.hash_rows(seed=1).to_numpy().astype(np.uint64)
    ends = spans["to_on"].is_not_null().to_numpy()
    edges = np.concatenate(
        [
            spans["from_on"].to_physical().to_numpy(),
            spans["to_on"].drop_nulls().to_physical().to_numpy(),
        ]
    ).astype(np.int64)
    # Hashes are taken away by adding their complement: sums of 64 bits wrap.
    steps = np.concatenate([hashes, np.uint64(0) - hashes[ends]])
    order = np.argsort(edges, kind="stable")
    sums = np.concatenate([[np.uint64(0)], np.cumsum(steps[order], dtype=np.uint64)])
    wanted = sorted(days)
    since = np.array([(day - date(1970, 1, 1)).days for day in wanted], dtype=np.int64)
    found = sums[np.searchsorted(edges[order], since, side="right")]
    return {day: f"{int(value):016x}" for day, value in zip(wanted, found, strict=True)}


def rules_on(rules: pl.DataFrame, days: Iterable[date]) -> dict[date, str]:
    """Day -> hash of the rows of a dated reference table that hold on it (valid_to exclusive)."""
    rows = [
        (start, end, row)
        for start, end, row in zip(
            rules["valid_from"], rules["valid_to"], rules.drop("valid_to").rows(), strict=True
        )
    ]
    edges = sorted({day for start, end, _ in rows for day in (start, end) if day is not None})
    by_era = {}
    for era, first in enumerate([date.min, *edges]):
        held = [row for start, end, row in rows if start <= first and (end is None or first < end)]
        by_era[era] = hash_of(held)
    return {day: by_era[bisect_right(edges, day)] for day in days}


def rates_on(fx: pl.DataFrame, days: Iterable[date]) -> dict[date, str]:
    """Day -> hash of the last rate of each currency that had begun; a later one touches no day."""
    starts = sorted(set(fx["valid_from"]))
    begun = {
        era: hash_of(
            fx.filter(pl.col("valid_from") <= start)
            .sort("currency", "valid_from")
            .group_by("currency", maintain_order=True)
            .agg(pl.col("cny_per_unit").last())
            .rows()
        )
        for era, start in enumerate(starts, 1)
    } | {0: ""}
    return {day: begun[bisect_right(starts, day)] for day in days}
