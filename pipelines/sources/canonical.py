"""Cloudbound's own files: one table per family, as Parquet, CSV or JSON Lines.

Belongs here: the column names of the canonical files (docs/formats.md lists them).
Does not belong here: other systems' names for the same things.
Source of the facts: the design's list of canonical files.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from pipelines.sources.base import (
    EMPTY,
    Chunk,
    Format,
    Mapping,
    Options,
    by_spelling,
    convert,
    lower,
    upper,
)
from pipelines.sources.tables import columns_of, pieces

REQUESTS: Mapping = {
    "request_id": ("text", "request_id"),
    "team": ("text", "team"),
    "member": ("text", "member"),
    "requested_at": ("instant", "requested_at"),
    "received_at": ("instant", "received_at"),
    "model": ("text", "model"),
    "task": ("text", "task"),
    "session": ("text", "session"),
    "input_tokens": ("integer", "input_tokens"),
    "cached_tokens": ("integer", "cached_tokens"),
    "output_tokens": ("integer", "output_tokens"),
    "status": ("text", "status"),
    "refused_by": ("text", "refused_by"),
    "on_plan": ("boolean", "on_plan"),
}
SUBSCRIPTIONS: Mapping = {
    "event_id": ("text", "event_id"),
    "team": ("text", "team"),
    "plan": ("text", "plan"),
    "event": ("text", "event"),
    "occurred_at": ("instant", "occurred_at"),
    "period_start": ("instant", "period_start"),
    "period_end": ("instant", "period_end"),
    "list_amount": ("amount", "list_amount"),
    "net_amount": ("amount", "net_amount"),
    "currency": ("text", "currency"),
    "promotion": ("text", "promotion"),
}
ACCOUNT_LINKS: Mapping = {
    "link_source": ("text", "source"),
    "source_id": ("text", "source_id"),
    "team_id": ("text", "team_id"),
    "valid_from": ("instant", "valid_from"),
    "valid_to": ("instant", "valid_to"),
    "recorded_at": ("instant", "recorded_at"),
    "method": ("text", "method"),
    "confidence": ("float", "confidence"),
}
TEAMS: Mapping = {
    "team_id": ("text", "team_id"),
    "region": ("text", "region"),
    "industry": ("text", "industry"),
    "channel": ("text", "channel"),
    "opened_at": ("instant", "opened_at"),
}
CHANNEL_COSTS: Mapping = {
    "month": ("instant", "month"),
    "channel": ("text", "channel"),
    "spend": ("amount", "spend"),
    "currency": ("text", "currency"),
}
ASSIGNMENTS: Mapping = {
    "team": ("text", "team"),
    "experiment": ("text", "experiment"),
    "arm": ("text", "arm"),
    "assigned_at": ("instant", "assigned_at"),
}
JSON_KINDS = ("integer", "boolean")  # that JSON itself can write
CASES = dict.fromkeys(("status", "refused_by", "event"), lower) | {"currency": upper}
# Where an unreadable value counts as absent; anywhere else it rejects its row.
LENIENT = (
    "received_at", "input_tokens", "cached_tokens", "output_tokens", "opened_at", "confidence",
)  # fmt: skip


def _read(mapping: Mapping, path: Path, options: Options) -> Iterator[Chunk]:
    wanted = [name for _, *names in mapping.values() for name in names]
    has_money = any(kind == "amount" for kind, *_ in mapping.values())
    types = {n: EMPTY[k] for k, *names in mapping.values() for n in names if k in JSON_KINDS}
    for raw, broken in pieces(path, wanted, is_exact=has_money, types=types, repeats=True):
        chunk = convert(raw, broken, mapping, options.timezone, LENIENT)
        rows = chunk.rows.with_columns(
            by_spelling(chunk.rows[c], case) for c, case in CASES.items() if c in mapping
        )
        yield Chunk(rows=rows, raw=chunk.raw, broken=chunk.broken, warnings=chunk.warnings)


def _looks_like(*must_have: str) -> Callable[[Path, bytes], str | None]:
    def looks_like(path: Path, head: bytes) -> str | None:
        columns = columns_of(path, head)
        if all(name in columns for name in must_have):
            return f"it has the columns {', '.join(must_have)}"
        return None

    return looks_like


def _format(family: str, mapping: Mapping, *must_have: str) -> Format:
    return Format(
        name=f"canonical_{family}",
        family=family,
        version=2,
        mapping=mapping,
        looks_like=_looks_like(*must_have),
        read=partial(_read, mapping),
    )


FORMATS = (
    _format("requests", REQUESTS, "request_id", "team", "requested_at", "status"),
    _format("subscriptions", SUBSCRIPTIONS, "event_id", "team", "event", "occurred_at"),
    _format("account_links", ACCOUNT_LINKS, "source", "source_id", "team_id", "valid_from"),
    _format("assignments", ASSIGNMENTS, "team", "experiment", "arm", "assigned_at"),
    _format("channel_costs", CHANNEL_COSTS, "month", "channel", "spend"),
    _format("teams", TEAMS, "team_id", "region"),
    _format("teams", TEAMS, "team_id", "industry"),
    _format("teams", TEAMS, "team_id", "channel"),
    _format("teams", TEAMS, "team_id", "opened_at"),
)
