"""OTLP traces: old and new attribute names, numbers as text, nanoseconds to the last digit."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.sources.reading import SHARED, lines, read, write

SAMPLE = SHARED / "requests" / "samples" / "otlp_trace_example.json"


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = {str: "stringValue", int: "intValue", bool: "boolValue", float: "doubleValue"}
    return [{"key": k, "value": {kinds[type(v)]: v}} for k, v in values.items()]


def span(number: int, values: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": f"{number:016x}",
        "name": "chat qwen", "kind": 3, "startTimeUnixNano": "1737710446847371999",
        "endTimeUnixNano": 1737710447851954001, "attributes": attributes(values),
    } | more  # fmt: skip


def export(*spans: Any, resource: dict[str, Any] | None = None) -> dict[str, Any]:
    scope = {"scope": {"name": "lib"}, "spans": list(spans)}
    named = {"attributes": attributes(resource or {"team.id": "t1"})}
    return {"resourceSpans": [{"resource": named, "scopeSpans": [scope]}]}


NEW = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "alibaba",
    "gen_ai.request.model": "qwen3-coder-plus", "gen_ai.usage.input_tokens": "120",
    "gen_ai.usage.output_tokens": 30, "gen_ai.usage.cache_read.input_tokens": 100,
    "user.id": "u1", "session.id": "s1", "server.address": "coding.dashscope.aliyuncs.com",
}  # fmt: skip
OLD = {
    "llm.request.type": "chat", "gen_ai.system": "alibaba", "gen_ai.response.model": "glm-5",
    "gen_ai.usage.prompt_tokens": 120, "gen_ai.usage.completion_tokens": "30", "enduser.id": "u2",
}  # fmt: skip


def test_new_names(tmp_path: Path) -> None:
    reading = read(write(tmp_path, "a.json", json.dumps(export(span(1, NEW)), indent=1)))
    assert reading.form == "otlp"
    assert reading.rows == [{
        "request_id": "5b8efff798038103d269b633813fc60c:0000000000000001", "team": "t1",
        "member": "u1", "requested_at": datetime(2025, 1, 24, 9, 20, 46, 847371, tzinfo=UTC),
        "received_at": datetime(2025, 1, 24, 9, 20, 47, 851954, tzinfo=UTC),
        "model": "qwen3-coder-plus", "task": None, "session": "s1", "input_tokens": 120,
        "cached_tokens": 100, "output_tokens": 30, "status": "ok", "refused_by": None,
        "on_plan": True, "line": 1,
    }]  # fmt: skip


def test_old_names(tmp_path: Path) -> None:
    (row,) = read(write(tmp_path, "a.jsonl", lines(export(span(1, OLD))))).rows
    found = {k: row[k] for k in ("member", "model", "input_tokens", "output_tokens")}
    assert found == {"member": "u2", "model": "glm-5", "input_tokens": 120, "output_tokens": 30}


def test_a_span_speaks_before_its_resource(tmp_path: Path) -> None:
    mine = export(span(1, NEW | {"team.id": "mine"}), span(2, NEW))
    assert read(write(tmp_path, "a.jsonl", lines(mine))).column("team") == ["mine", "t1"]


@pytest.mark.parametrize(
    ("resource", "team"),
    [
        ({"tenant.id": "x"}, "x"),
        ({"organization.id": "x"}, "x"),
        ({"metadata.user_api_key_team_id": "x"}, "x"),
        ({"service.name": "x"}, "u1"),
    ],
)
def test_where_the_team_stands(tmp_path: Path, resource: dict[str, Any], team: str) -> None:
    file = write(tmp_path, "a.jsonl", lines(export(span(1, NEW), resource=resource)))
    assert read(file).column("team") == [team]


@pytest.mark.parametrize("operation", ["chat", "text_completion", "generate_content"])
def test_inference_counts(tmp_path: Path, operation: str) -> None:
    file = write(
        tmp_path, "a.jsonl", lines(export(span(1, NEW | {"gen_ai.operation.name": operation})))
    )
    assert len(read(file).rows) == 1


@pytest.mark.parametrize("operation", ["invoke_agent", "execute_tool", "embeddings", ""])
def test_everything_else_is_rejected(tmp_path: Path, operation: str) -> None:
    other = span(1, {"gen_ai.operation.name": operation})
    reading = read(write(tmp_path, "a.jsonl", lines(export(other, span(2, NEW)))))
    assert reading.reasons == [
        f"the span is no inference: gen_ai.operation.name is {operation or 'missing'}"
    ]
    assert len(reading.rows) == 1


@pytest.mark.parametrize(
    ("status", "values", "said"),
    [
        ({"code": 2, "message": "week allocated quota exceeded"}, {}, ("refused", "week")),
        ({"code": "STATUS_CODE_ERROR"}, {"error.type": "429"}, ("throttled", None)),
        ({"code": 2}, {}, ("failed", None)),
        ({}, {"error.type": "timeout"}, ("failed", None)),
        ({"code": 1}, {}, ("ok", None)),
        (None, {}, ("ok", None)),
    ],
)
def test_outcomes(
    tmp_path: Path, status: Any, values: dict[str, Any], said: tuple[str, str | None]
) -> None:
    file = write(tmp_path, "a.jsonl", lines(export(span(1, NEW | values, status=status))))
    (row,) = read(file).rows
    assert (row["status"], row["refused_by"]) == said


def test_many_spans_of_one_line_have_lines_of_their_own(tmp_path: Path) -> None:
    file = write(
        tmp_path, "a.jsonl", lines(export(span(1, NEW), span(2, NEW)), export(span(3, NEW)))
    )
    assert read(file).column("line") == [1, 2, 3]


def test_what_is_no_span_is_kept_apart(tmp_path: Path) -> None:
    odd = {"resourceSpans": [None, {"scopeSpans": ["x", {"spans": [7, {}]}]}]}
    reading = read(write(tmp_path, "a.jsonl", lines(export(span(1, NEW)), odd)))
    assert len(reading.rows) == 1
    assert reading.reasons == [
        "the entry is not a JSON object", "the entry is not a JSON object",
        "the entry is not a JSON object",
        "the span is no inference: gen_ai.operation.name is missing",
    ]  # fmt: skip


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the shared samples are not beside the checkout")
def test_the_real_sample_is_otlp_without_a_model() -> None:
    reading = read(SAMPLE)
    assert reading.form == "otlp"
    assert reading.reasons == ["the span is no inference: gen_ai.operation.name is missing"]
