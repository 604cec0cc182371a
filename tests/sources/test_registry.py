"""Detection by content: every shared sample is what it is, or nothing with a reason."""

import json
from pathlib import Path

import pytest

from pipelines.sources import registry
from tests.sources import (
    test_alibaba,
    test_canonical,
    test_focus,
    test_litellm,
    test_otlp,
    test_stripe_files,
)  # fmt: skip
from tests.sources.reading import SHARED, write

WRITTEN = {
    "focus": test_focus.ROW,
    "litellm": test_litellm.spend_log(),
    "otlp": test_otlp.export(test_otlp.span(1, test_otlp.NEW)),
    "stripe": test_stripe_files.CREATED,
    "alibaba_bill": test_alibaba.bill(test_alibaba.item()),
    "alibaba_orders": test_alibaba.orders(test_alibaba.order()),
    "canonical_requests": test_canonical.REQUEST,
    "canonical_subscriptions": test_canonical.EVENT,
}
# Everything in shared/data that is not here is nothing that is read.
SAMPLES = {
    "cloud/focus_1.0_real_sample_devhalf.csv": "focus",
    "requests/samples/litellm_spend_logs_payload.json": "litellm",
    "requests/samples/otlp_trace_example.json": "otlp",
} | {
    path.relative_to(SHARED).as_posix(): form
    for pattern, form in (
        ("cloud/focus_spec/scenarios/s*_*.csv", "focus"),
        ("cloud/focus_spec/scenarios/virtual*.csv", "focus"),
        ("subscriptions/stripe_webhooks/*.json", "stripe"),
    )
    for path in SHARED.glob(pattern)
}
FILES = sorted(p for p in SHARED.rglob("*") if p.is_file())


def matches(path: Path) -> set[str]:
    head = registry.head_of(path)
    return {form.name for form in registry.FORMATS if form.looks_like(path, head)}


@pytest.mark.parametrize(("form", "row"), WRITTEN.items(), ids=WRITTEN)
@pytest.mark.parametrize("indent", [None, 2])
def test_one_format_each(tmp_path: Path, form: str, row: object, indent: int | None) -> None:
    path = write(tmp_path, "x.json", json.dumps(row, indent=indent))
    assert matches(path) == {form}


@pytest.mark.skipif(not FILES, reason="the shared samples are not beside the checkout")
def test_every_shared_sample_is_what_it_is() -> None:
    for path in FILES:
        name = path.relative_to(SHARED).as_posix()
        expected = SAMPLES.get(name)
        assert matches(path) == ({expected} if expected else set()), name
        if expected is None:
            assert registry.why_not(path).startswith("it is "), name


@pytest.mark.skipif(not FILES, reason="the shared samples are not beside the checkout")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cloud/focus_converters/sample-anonymous-aws-export-dataset.csv",
         "it is an AWS Cost and Usage Report: export it as FOCUS"),
        ("cloud/finops_toolkit/EA_ActualCost_Small.csv",
         "it is an Azure cost export of its own schema: export it as FOCUS"),
        ("cloud/focus_spec/scenarios/commitment_discount_purchase_scenario_1.csv",
         "it is a part of FOCUS: it needs BilledCost and BillingAccountId too"),
    ],
)  # fmt: skip
def test_what_to_bring_instead(name: str, reason: str) -> None:
    assert registry.why_not(SHARED / name) == reason
