"""LiteLLM proxy logs: SpendLogs rows and StandardLoggingPayload objects (JSON, JSONL, Parquet).

Belongs here: LiteLLM's field names, its JSON inside strings, its names for refusals.
Does not belong here: what counts as an accepted request (contracts, rollup).
Source of the facts: LiteLLM's SpendLogsPayload and StandardLoggingPayload types.

A request served from the proxy's own cache never reached a model, but the team made it: it is
kept. Rows of other call types than chat and completion are no inference: rejected, with that
reason, so that the file's rows still add up.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from pipelines.sources.base import Chunk, Format, Mapping, Options, canonical, clean
from pipelines.sources.tables import columns_of, pieces

SPEND_LOGS: Mapping = {
    "request_id": ("text", "request_id", "id", "litellm_call_id"),
    "team": ("text", "team_id"),
    "member": ("text", "user", "end_user"),
    "requested_at": ("instant", "startTime"),
    "received_at": ("instant", "endTime"),
    "model": ("text", "model"),
    "session": ("text", "session_id", "trace_id"),
    "input_tokens": ("integer", "prompt_tokens"),
    "output_tokens": ("integer", "completion_tokens"),
}
# Read besides the mapped ones, because their values sit deeper or need a rule.
OTHERS = (
    "metadata",
    "request_tags",
    "status",
    "call_type",
    "error_str",
    "error_information",
)
INFERENCE = (
    "completion",
    "text_completion",
    "responses",
    "anthropic_messages",
    "generate_content",
)
LIMITS = {"hour": "5h", "week": "week", "month": "month"}
PLAN_KEY, PAYG_HOST = "coding", "dashscope"


def looks_like(path: Path, head: bytes) -> str | None:
    columns = columns_of(path, head)
    if "startTime" in columns and "prompt_tokens" in columns and "call_type" in columns:
        return "it has LiteLLM's columns startTime, prompt_tokens and call_type"
    return None


def read(path: Path, options: Options) -> Iterator[Chunk]:
    """Canonical request rows; naive times are in the source's declared zone."""
    mapped = [name for _, *names in SPEND_LOGS.values() for name in names]
    wanted = [*mapped, *OTHERS, "api_base"]
    for raw, broken in pieces(path, wanted):
        is_inference = _is_inference(raw)
        kept = raw.filter(is_inference)
        rows = canonical(kept, SPEND_LOGS, options.timezone)
        others = raw.filter(~is_inference).select(
            "line",
            reason=pl.format("call_type {} is no inference", "call_type"),
            row=pl.struct("request_id", "call_type").struct.json_encode(),
        )
        broken = pl.concat([broken, others])
        yield Chunk(rows=rows.with_columns(_derived(kept)), raw=kept, broken=broken)


def _column(raw: pl.DataFrame, name: str) -> pl.Series:
    if name not in raw.columns:
        return pl.Series(name, [None] * raw.height, dtype=pl.String)
    return clean(raw[name]).alias(name)


def _is_inference(raw: pl.DataFrame) -> pl.Series:
    call = _column(raw, "call_type")
    return call.str.contains("|".join(INFERENCE)).fill_null(True)


def _derived(raw: pl.DataFrame) -> list[pl.Series]:
    """Columns that need more than a name: status, refused_by, task, cached tokens, on_plan."""
    deep = pl.DataFrame(
        {
            "status": _column(raw, "status").str.to_lowercase(),
            "error": _column(raw, "error_str"),
            "information": _column(raw, "error_information"),
            "metadata": _column(raw, "metadata"),
            "tags": _column(raw, "request_tags"),
            "base": _column(raw, "api_base"),
        }
    ).with_columns(
        said=pl.concat_str(
            _path("metadata", "$.error_information.error_message"),
            _path("metadata", "$.error_information.error_code"),
            _path("metadata", "$.error_information.error_class"),
            pl.col("information"),
            pl.col("error"),
            separator=" ",
            ignore_nulls=True,
        ).str.to_lowercase(),
    )
    limit = pl.col("said").str.extract(r"(hour|week|month) allocated quota exceeded", 1)
    refused_by = limit.replace_strict(LIMITS, default=None, return_dtype=pl.String)
    throttled = pl.col("said").str.contains(r"\b429\b|rate.?limit")
    failed = pl.col("status").is_in(["failure", "failed", "error"])
    status = (
        pl.when(failed & refused_by.is_not_null())
        .then(pl.lit("refused"))
        .when(failed & throttled)
        .then(pl.lit("throttled"))
        .when(failed)
        .then(pl.lit("failed"))
        .otherwise(pl.lit("ok"))
    )
    # The plan's own host is coding.dashscope; plain dashscope is a pay-as-you-go key.
    on_plan = pl.when(pl.col("base").str.contains(PAYG_HOST)).then(
        pl.col("base").str.contains(PLAN_KEY)
    )
    cached = pl.coalesce(
        _path("metadata", "$.usage_object.prompt_tokens_details.cached_tokens"),
        _path("metadata", "$.usage_object.cache_read_input_tokens"),
    ).cast(pl.Int64, strict=False)
    return deep.select(
        status.alias("status"),
        refused_by.alias("refused_by"),
        pl.col("tags").str.extract(r'task:([^",\]]+)', 1).alias("task"),
        cached.alias("cached_tokens"),
        on_plan.alias("on_plan"),
    ).get_columns()


def _path(column: str, path: str) -> pl.Expr:
    value = pl.col(column).str.json_path_match(path)
    return pl.when(value.is_in(["null", ""])).then(None).otherwise(value)


FORMATS = (Format(name="litellm", family="requests", version=1, looks_like=looks_like, read=read),)
