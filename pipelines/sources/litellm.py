"""LiteLLM proxy logs: SpendLogs rows and StandardLoggingPayload objects (JSON, JSONL, Parquet).

Belongs here: LiteLLM's field names, its JSON inside strings, its names for refusals.
Does not belong here: what counts as an accepted request (contracts, rollup).
Source of the facts: LiteLLM's SpendLogsPayload and StandardLoggingPayload types.

SpendLogs has request_id, team_id and user as columns, metadata and tags as JSON inside strings,
and naive times (in the zone that the source declares); StandardLoggingPayload has id, the team
and user in metadata, and epoch seconds. Without a team the user is a team of one.
A request served from the proxy's own cache never reached a model, but the team made it: it is
kept. Rows of other call types than chat and completion are no inference: rejected, with that
reason, so that the file's rows still add up.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from pipelines.sources import plan
from pipelines.sources.base import (
    Chunk,
    Format,
    Mapping,
    Options,
    broken_rows,
    clean,
    column_of,
    convert,
)  # fmt: skip
from pipelines.sources.tables import columns_of, inside, pieces

LOGS: Mapping = {
    "request_id": ("text", "request_id", "id", "litellm_call_id"),
    "team": ("text", "team_id"),
    "member": ("text", "user"),
    "requested_at": ("instant", "startTime"),
    "received_at": ("instant", "endTime"),
    "model": ("text", "model", "model_group"),
    "session": ("text", "session_id", "trace_id"),
    "input_tokens": ("integer", "prompt_tokens"),
    "output_tokens": ("integer", "completion_tokens"),
}
# Where metadata says what a column doesn't, in the order of trust.
METADATA = {
    "team": ("user_api_key_team_id", "team_id"),
    "member": ("user_api_key_user_id",),
    "end_user": ("user_api_key_end_user_id",),
    "cached_tokens": (
        "usage_object.prompt_tokens_details.cached_tokens", "usage_object.cache_read_input_tokens",
    ),
    "status": ("status",),
    "said": (
        "error_information.error_message", "error_information.error_code",
        "error_information.error_class",
    ),
}  # fmt: skip
# Read besides the mapped ones, because their values sit deeper or need a rule.
OTHERS = (
    "metadata", "request_tags", "status", "call_type", "error_str", "error_information", "end_user",
    "api_base",
)  # fmt: skip
# Both, for people; the last four need a rule each, see _complete.
MAPPING: Mapping = LOGS | {
    "team": (*LOGS["team"], *(f"metadata.{path}" for path in METADATA["team"])),
    "member": (*LOGS["member"], *(f"metadata.{path}" for path in METADATA["member"]), "end_user"),
    "cached_tokens": ("integer", *(f"metadata.{path}" for path in METADATA["cached_tokens"])),
    "status": ("text", "status", "metadata.status"),
    "refused_by": ("text", "metadata.error_information.error_message", "error_str"),
    "task": ("text", "request_tags"),
    "on_plan": ("boolean", "api_base"),
}
INFERENCE = "completion|responses|anthropic_messages|generate_content"
_AT = "metadata."
NOBODY = ["default_user_id"]  # LiteLLM's name for its own administrator
LENIENT = ("received_at", "input_tokens", "output_tokens")


def looks_like(path: Path, head: bytes) -> str | None:
    columns = columns_of(path, head)
    if "startTime" in columns and "prompt_tokens" in columns and "call_type" in columns:
        return "it has LiteLLM's columns startTime, prompt_tokens and call_type"
    return None


def read(path: Path, options: Options) -> Iterator[Chunk]:
    """Canonical request rows; naive times are in the source's declared zone."""
    mapped = [name for _, *names in LOGS.values() for name in names]
    for raw, broken in pieces(path, [*mapped, *OTHERS]):
        call = column_of(raw, "call_type")
        is_inference = call.str.contains(INFERENCE).fill_null(True)
        others = raw.filter(~is_inference)
        reason = pl.select(
            pl.format("call_type {} is no inference", call.filter(~is_inference))
        ).to_series()
        broken = pl.concat([broken, broken_rows(others, reason)])
        chunk = convert(raw.filter(is_inference), broken, LOGS, options.timezone, LENIENT)
        rows = _complete(chunk.rows, chunk.raw)
        yield Chunk(rows=rows, raw=chunk.raw, broken=chunk.broken, warnings=chunk.warnings)


def _complete(rows: pl.DataFrame, raw: pl.DataFrame) -> pl.DataFrame:
    """Rows with what metadata, tags and errors say."""
    deep = rows.select("team", "member").with_columns(
        **{f"raw_{name}": column_of(raw, name) for name in OTHERS},
    )
    paths = [path for paths in METADATA.values() for path in paths]
    deep = deep.with_columns(_values(deep["raw_metadata"], paths))
    found = {name: [pl.col(f"{_AT}{path}") for path in paths] for name, paths in METADATA.items()}
    deep = deep.with_columns(
        said=pl.concat_str(
            [*found["said"], "raw_error_information", "raw_error_str"],
            separator=" ",
            ignore_nulls=True,
        ),
        has_failed=pl.coalesce("raw_status", *found["status"])
        .str.to_lowercase()
        .is_in(["failure", "failed", "error"]),
        member=pl.coalesce("member", *found["member"], "raw_end_user", *found["end_user"]),
    )
    is_somebody = ~pl.col("member").is_in(NOBODY)
    refused_by = plan.refused_by(pl.col("said"))
    derived = deep.select(
        team=pl.coalesce("team", *found["team"], pl.when(is_somebody).then("member")),
        member="member",
        status=plan.status(pl.col("has_failed"), pl.col("said")),
        refused_by=pl.when("has_failed").then(refused_by),
        task=pl.col("raw_request_tags").str.extract(r'task:([^",\]]+)', 1),
        cached_tokens=pl.coalesce(found["cached_tokens"]).cast(pl.Int64, strict=False),
        on_plan=plan.on_plan(pl.col("raw_api_base")),
    )
    return rows.with_columns(derived.get_columns())


def _values(text: pl.Series, paths: Sequence[str], above: str = _AT) -> list[pl.Series]:
    """Text at each path of JSON objects; LiteLLM writes null and '' for what is absent."""
    below: dict[str, list[str]] = {}
    for path in paths:
        name, _, rest = path.partition(".")
        below.setdefault(name, []).extend([rest] if rest else [])
    found: list[pl.Series] = []
    for column in inside(text, list(below)):
        if deeper := below[column.name]:
            found += _values(column, deeper, f"{above}{column.name}.")
        else:
            found.append(clean(column).alias(f"{above}{column.name}"))
    return found


FORMATS = (
    Format(
        name="litellm",
        family="requests",
        version=2,
        mapping=MAPPING,
        looks_like=looks_like,
        read=read,
    ),
)
