"""The pre-registered rules of the weekly decision sheet: reading and checking decisions.toml.

Belongs here: the fields of a rule and its hash.
Does not belong here: the numbers (sql/metric/decision_numbers.sql), the verdict
(sql/metric/decisions.sql), what past weeks decided (sql/ops/decisions.sql).
"""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.errors import UsageError

GATES = ("links", "history", "split", "renewal")
SIDES = ("above", "below")
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "name": str, "question": str, "metric": str, "side": str, "threshold": (int, float),
    "min_teams": int, "gates": list, "act": str, "hold": str,
}  # fmt: skip
SCHEMA: dict[str, Any] = {
    "rank": pl.Int64, "name": pl.String, "rule": pl.String, "question": pl.String,
    "metric": pl.String, "side": pl.String, "threshold": pl.Float64, "min_teams": pl.Int64,
    "gates": pl.List(pl.String), "act": pl.String, "hold": pl.String,
}  # fmt: skip


def parse(content: bytes, path: Path) -> pl.DataFrame:
    """The rules in the order of the file, columns as in SCHEMA; `rule` is the hash of all fields.

    Raises UsageError naming the file, the rule and the fault.
    """
    try:
        document = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The reference file {path} is not valid TOML: {error}.") from None
    rules = document.get("rule", [])
    if set(document) - {"rule"} or not isinstance(rules, list):
        raise UsageError(f"The reference file {path} may only hold [[rule]] tables.")
    rows = [_row(path, number, rule) for number, rule in enumerate(rules, start=1)]
    names = [row["name"] for row in rows]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise UsageError(f"{path} holds the rule {twice[0]} twice: rename one.")
    return pl.DataFrame(rows, schema=SCHEMA)


def _row(path: Path, number: int, rule: dict[str, Any]) -> dict[str, Any]:
    where = f"{path}, rule {rule.get('name', number)}"
    for name, kind in _FIELDS.items():
        if not isinstance(rule.get(name), kind) or isinstance(rule[name], bool):
            raise UsageError(f"{where}: the field {name} is missing or not of its type.")
    if unknown := sorted(set(rule) - set(_FIELDS)):
        raise UsageError(f"{where}: unknown field {unknown[0]}; remove or rename it.")
    if rule["side"] not in SIDES:
        raise UsageError(f"{where}: side must be above or below, not {rule['side']!r}.")
    if bad := sorted(set(rule["gates"]) - set(GATES)):
        raise UsageError(f"{where}: unknown gate {bad[0]!r}; use {', '.join(GATES)}.")
    if rule["min_teams"] < 1:
        raise UsageError(f"{where}: min_teams must be at least 1.")
    text = json.dumps({k: v for k, v in rule.items() if k != "question"}, sort_keys=True)
    return rule | {"rank": number, "rule": hashlib.sha256(text.encode()).hexdigest()[:12]}
