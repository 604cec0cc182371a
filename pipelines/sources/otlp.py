"""OpenTelemetry traces in OTLP's JSON encoding: one request for each gen_ai inference span.

Belongs here: the attribute names of the gen_ai conventions, old and new, and where the team is.
Does not belong here: what counts as an accepted request (contracts, rollup), metrics and logs.
Source of the facts: opentelemetry-proto (trace.proto, JSON encoding), the gen_ai semantic
conventions up to 1.36 (gen_ai.system, prompt_tokens) and since (gen_ai.provider.name,
input_tokens), OpenLLMetry's llm.request.type, LiteLLM's OpenTelemetry callback.

A file is an export request, an array of them, or JSON Lines as the Collector's file exporter
writes it. An attribute is looked for on the span, then on its resource. The team is team.id, or
what stands beside it in the table; without one, the member is a team of one. Whole numbers may
be text or numbers; times are nanoseconds and are read as integers. Retries and parallel spans of
a trace are requests of their own; agent, tool and embedding spans are no inference: rejected,
with that reason.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.sources import plan
from pipelines.sources.base import (
    Chunk,
    Format,
    Mapping,
    Options,
    broken_rows,
    column_of,
    convert,
)  # fmt: skip
from pipelines.sources.tables import columns_of, pieces

TEAM = ("team.id", "tenant.id", "organization.id", "metadata.user_api_key_team_id")
MEMBER = ("user.id", "enduser.id", "metadata.user_api_key_user_id")
SPANS: Mapping = {
    "request_id": ("text", "span"),
    "team": ("text", *TEAM, *MEMBER),
    "member": ("text", *MEMBER),
    "requested_at": ("instant", "startTimeUnixNano"),
    "received_at": ("instant", "endTimeUnixNano"),
    "model": ("text", "gen_ai.request.model", "gen_ai.response.model"),
    "task": ("text", "task"),
    "session": ("text", "session.id", "gen_ai.conversation.id"),
    "input_tokens": ("integer", "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "cached_tokens": (
        "integer", "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
    ),
    "output_tokens": ("integer", "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
}  # fmt: skip
OPERATION = ("gen_ai.operation.name", "llm.request.type")
INFERENCE = ("chat", "text_completion", "generate_content", "completion")
# Read besides the mapped ones: what was done, how it went, and by which host.
OTHERS = (*OPERATION, "status.code", "status.message", "error.type", "server.address", "name")
# For people: span is traceId and spanId, and three columns need a rule each, see _outcome.
MAPPING: Mapping = SPANS | {
    "status": ("text", "status.code", "status.message", "error.type"),
    "refused_by": ("text", "status.message", "error.type"),
    "on_plan": ("boolean", "server.address"),
}
LENIENT = ("received_at", "input_tokens", "cached_tokens", "output_tokens")
_FAILED = ["2", "STATUS_CODE_ERROR"]


def looks_like(path: Path, head: bytes) -> str | None:
    if "resourceSpans" in columns_of(path, head):
        return "it has OTLP's resourceSpans"
    return None


def read(path: Path, options: Options) -> Iterator[Chunk]:
    """Canonical request rows; OTLP's times are UTC."""
    wanted = list(dict.fromkeys([n for _, *names in SPANS.values() for n in names]))
    for raw, broken in pieces(path, [*wanted, *OTHERS], rows_in=_spans):
        operation = _first_of(raw, OPERATION)
        is_inference = operation.is_in(INFERENCE).fill_null(False)
        others = raw.filter(~is_inference)
        reason = pl.select(
            pl.format(
                "the span is no inference: gen_ai.operation.name is {}",
                operation.filter(~is_inference).fill_null("missing"),
            )
        ).to_series()
        kept = raw.filter(is_inference)
        broken = pl.concat([broken, broken_rows(others, reason)])
        chunk = convert(kept, broken, SPANS, "UTC", LENIENT)
        rows = chunk.rows.with_columns(_outcome(chunk.raw))
        yield Chunk(rows=rows, raw=chunk.raw, broken=chunk.broken, warnings=chunk.warnings)


def _spans(value: dict[str, Any]) -> list[Any]:
    """Spans of an export request, each flat: attributes of its resource and its own, fields."""
    spans: list[Any] = []
    for resource in _list(value, "resourceSpans"):
        if not isinstance(resource, dict):
            spans.append(resource)
            continue
        shared = _attributes(resource.get("resource"))
        scopes = _list(resource, "scopeSpans") or _list(resource, "instrumentationLibrarySpans")
        for scope in scopes:
            if not isinstance(scope, dict):
                spans.append(scope)
                continue
            for span in _list(scope, "spans"):
                spans.append(_flat(span, shared) if isinstance(span, dict) else span)
    return spans


def _list(value: dict[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    return found if isinstance(found, list) else []


def _flat(span: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    found = span.get("status")
    status = found if isinstance(found, dict) else {}
    trace, name = span.get("traceId"), span.get("spanId")
    return {
        **shared,
        **_attributes(span),
        "span": f"{trace}:{name}" if trace and name else None,
        "name": span.get("name"),
        "startTimeUnixNano": span.get("startTimeUnixNano"),
        "endTimeUnixNano": span.get("endTimeUnixNano"),
        "status.code": status.get("code"),
        "status.message": status.get("message"),
    }


def _attributes(owner: Any) -> dict[str, Any]:
    """{key: value} of an owner's attributes; a value is the one entry of its AnyValue."""
    found: dict[str, Any] = {}
    for attribute in _list(owner, "attributes") if isinstance(owner, dict) else []:
        value = attribute.get("value") if isinstance(attribute, dict) else None
        if isinstance(value, dict) and isinstance(attribute.get("key"), str):
            found[attribute["key"]] = next(iter(value.values()), None)
    return found


def _first_of(raw: pl.DataFrame, names: tuple[str, ...]) -> pl.Series:
    columns = [column_of(raw, name) for name in names]
    return pl.select(pl.coalesce(*columns)).to_series()


def _outcome(raw: pl.DataFrame) -> list[pl.Series]:
    said = pl.concat_str(
        [column_of(raw, "status.message"), column_of(raw, "error.type")],
        separator=" ",
        ignore_nulls=True,
    )
    error = column_of(raw, "error.type").is_not_null()
    has_failed = column_of(raw, "status.code").is_in(_FAILED).fill_null(False) | error
    return pl.select(
        status=plan.status(pl.lit(has_failed), said),
        refused_by=pl.when(has_failed).then(plan.refused_by(said)),
        on_plan=plan.on_plan(pl.lit(column_of(raw, "server.address"))),
    ).get_columns()


FORMATS = (
    Format(
        name="otlp", family="requests", version=1, mapping=MAPPING, looks_like=looks_like, read=read
    ),
)
