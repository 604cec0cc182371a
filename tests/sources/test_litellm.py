"""LiteLLM's two records, as JSON, JSON Lines and Parquet."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.sources.reading import SHARED, lines, read, write

SAMPLE = SHARED / "requests" / "samples" / "litellm_spend_logs_payload.json"
USAGE = {"prompt_tokens_details": {"cached_tokens": 7}, "completion_tokens": 20}


def spend_log(**changes: Any) -> dict[str, Any]:
    metadata = changes.pop("metadata", {"usage_object": USAGE})
    row = {
        "request_id": "chatcmpl-1", "call_type": "acompletion", "cache_hit": "None",
        "startTime": "2025-01-24 09:20:46.847371", "endTime": "2025-01-24 09:20:46.851954",
        "model": "qwen3-coder-plus", "user": "u1", "team_id": "0042", "end_user": "",
        "metadata": json.dumps(metadata), "prompt_tokens": 10, "completion_tokens": 20,
        "request_tags": '["task:debugging", "x"]', "session_id": "s1", "status": "success",
        "api_base": "https://coding.dashscope.aliyuncs.com/v1",
    }  # fmt: skip
    return row | changes


def payload(**changes: Any) -> dict[str, Any]:
    metadata = {"user_api_key_team_id": "t1", "user_api_key_user_id": "u1", "usage_object": USAGE}
    row = {
        "id": "chatcmpl-2", "trace_id": "tr1", "call_type": "completion", "stream": False,
        "response_cost": 1.2e-05, "status": "success", "startTime": 1737710446.847371,
        "endTime": 1737710447.25, "model": "qwen3-coder-plus", "metadata": metadata,
        "prompt_tokens": 10, "completion_tokens": 20, "request_tags": ["task:refactor"],
        "end_user": None, "api_base": "https://dashscope.aliyuncs.com/v1", "error_str": None,
        "error_information": None,
    }  # fmt: skip
    return row | changes


def test_a_spend_log(tmp_path: Path) -> None:
    reading = read(write(tmp_path, "a.jsonl", lines(spend_log())), timezone="Asia/Shanghai")
    assert reading.form == "litellm"
    assert reading.rows == [{
        "request_id": "chatcmpl-1", "team": "0042", "member": "u1",
        "requested_at": datetime(2025, 1, 24, 1, 20, 46, 847371, tzinfo=UTC),
        "received_at": datetime(2025, 1, 24, 1, 20, 46, 851954, tzinfo=UTC),
        "model": "qwen3-coder-plus", "task": "debugging", "session": "s1", "input_tokens": 10,
        "cached_tokens": 7, "output_tokens": 20, "status": "ok", "refused_by": None,
        "on_plan": True, "line": 1,
    }]  # fmt: skip


def test_a_standard_logging_payload(tmp_path: Path) -> None:
    reading = read(write(tmp_path, "a.jsonl", lines(payload())), timezone="Asia/Shanghai")
    assert reading.rows == [{
        "request_id": "chatcmpl-2", "team": "t1", "member": "u1",
        "requested_at": datetime(2025, 1, 24, 9, 20, 46, 847371, tzinfo=UTC),
        "received_at": datetime(2025, 1, 24, 9, 20, 47, 250000, tzinfo=UTC),
        "model": "qwen3-coder-plus", "task": "refactor", "session": "tr1", "input_tokens": 10,
        "cached_tokens": 7, "output_tokens": 20, "status": "ok", "refused_by": None,
        "on_plan": False, "line": 1,
    }]  # fmt: skip


@pytest.mark.parametrize("record", [spend_log, payload])
def test_containers_give_the_same_rows(tmp_path: Path, record: Any) -> None:
    rows = [record(), record(status="failure", error_str="429")]
    expected = read(write(tmp_path, "a.jsonl", lines(*rows))).rows
    assert read(write(tmp_path, "a.json", json.dumps(rows, indent=1))).rows == expected
    assert read(write(tmp_path, "a.jsonl.gz", lines(*rows))).rows == expected
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").rows == expected


@pytest.mark.parametrize(
    ("changes", "team", "member"),
    [
        ({"team_id": "t", "user": "u"}, "t", "u"),
        ({"team_id": "", "user": "", "metadata": {"user_api_key_team_id": "mt",
          "user_api_key_user_id": "mu"}}, "mt", "mu"),
        ({"team_id": None, "user": "", "end_user": "eu", "metadata": {"team_id": "mt"}},
         "mt", "eu"),
        ({"team_id": "None", "user": "u", "metadata": {"user_api_key_team_id": None}}, "u", "u"),
    ],
)  # fmt: skip
def test_the_team_and_the_member(
    tmp_path: Path, changes: dict[str, Any], team: str, member: str
) -> None:
    (row,) = read(write(tmp_path, "a.jsonl", lines(spend_log(**changes)))).rows
    assert (row["team"], row["member"]) == (team, member)


def test_nobodys_request_is_rejected(tmp_path: Path) -> None:
    nobody = spend_log(team_id="", user="default_user_id")
    reading = read(write(tmp_path, "a.jsonl", lines(spend_log(), nobody)))
    assert [(r["line"], r["reason"]) for r in reading.rejects] == [
        (2, "team is missing or can't be read")
    ]


def _failed(message: str, code: str = "429") -> dict[str, Any]:
    error = {"error_message": message, "error_code": code, "error_class": "E"}
    return spend_log(status="failure", metadata={"error_information": error})


@pytest.mark.parametrize(
    ("row", "status", "refused_by"),
    [
        (_failed("hour allocated quota exceeded"), "refused", "5h"),
        (_failed("Week allocated quota exceeded."), "refused", "week"),
        (_failed("month allocated quota exceeded"), "refused", "month"),
        (_failed("RateLimitError"), "throttled", None),
        (_failed("boom", "500"), "failed", None),
        (payload(status="failure", error_str="month allocated quota exceeded"), "refused",
         "month"),
        (payload(status="failure", error_information={"error_code": "500"}), "failed", None),
        (spend_log(status=None, metadata={"status": "failure"}), "failed", None),
        (spend_log(metadata={"note": "month allocated quota exceeded"}), "ok", None),
    ],
)  # fmt: skip
def test_outcomes(tmp_path: Path, row: dict[str, Any], status: str, refused_by: str | None) -> None:
    (found,) = read(write(tmp_path, "a.jsonl", lines(row))).rows
    assert (found["status"], found["refused_by"]) == (status, refused_by)


def test_other_calls_are_no_inference(tmp_path: Path) -> None:
    rows = [payload(call_type="aembedding"), spend_log(call_type="image_generation"), payload()]
    reading = read(write(tmp_path, "a.jsonl", lines(*rows)))
    assert reading.reasons == [
        "call_type aembedding is no inference", "call_type image_generation is no inference",
    ]  # fmt: skip
    assert len(reading.rows) == 1


@pytest.mark.parametrize(
    ("base", "on_plan"),
    [
        ("https://coding.dashscope.aliyuncs.com/v1", True),
        ("https://coding-intl.dashscope.aliyuncs.com/apps/anthropic", True),
        ("https://dashscope.aliyuncs.com/compatible-mode/v1", False),
        ("https://dashscope-intl.aliyuncs.com/v1?for=coding", False),
        ("https://api.example.com", None),
        ("", None),
    ],
)
def test_the_plans_host(tmp_path: Path, base: str, on_plan: bool | None) -> None:
    (row,) = read(write(tmp_path, "a.jsonl", lines(spend_log(api_base=base)))).rows
    assert row["on_plan"] is on_plan


def test_a_payload_longer_than_the_head_is_still_recognised(tmp_path: Path) -> None:
    long = payload() | {"messages": [{"role": "user", "content": "x" * 200_000}]}
    reading = read(write(tmp_path, "a.jsonl", lines(long, long)))
    assert (reading.form, len(reading.rows)) == ("litellm", 2)


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the shared samples are not beside the checkout")
def test_the_real_sample_names_nobody() -> None:
    reading = read(SAMPLE)
    assert (reading.form, reading.reasons) == ("litellm", ["team is missing or can't be read"])
