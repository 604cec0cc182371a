"""What requests of every source say about the plan itself: its limits and its hosts.

Belongs here: the plan's refusals and its host names, as expressions that the request formats share.
Does not belong here: any format's field names, or the quotas (data/reference/plans.csv).
Source of the facts: help.aliyun.com, model-studio/coding-plan-faq (errors) and coding-plan
(base URLs: coding.dashscope... and coding-intl.dashscope... are the plan's, dashscope... is not).
"""

import polars as pl

LIMITS = {"hour": "5h", "week": "week", "month": "month"}
REFUSAL = r"(hour|week|month) allocated quota exceeded"
THROTTLED = r"\b429\b|rate.?limit|too many requests"
PAYG_HOST, PLAN_HOST = "dashscope", r"\bcoding[a-z-]*\.dashscope"


def refused_by(said: pl.Expr) -> pl.Expr:
    """5h, week or month of an error text, null when it names no limit."""
    limit = said.str.to_lowercase().str.extract(REFUSAL, 1)
    return limit.replace_strict(LIMITS, default=None, return_dtype=pl.String)


def status(has_failed: pl.Expr, said: pl.Expr) -> pl.Expr:
    """ok, refused, throttled or failed."""
    has_failed = has_failed.fill_null(False)
    is_throttled = said.str.to_lowercase().str.contains(THROTTLED)
    return (
        pl.when(has_failed & refused_by(said).is_not_null())
        .then(pl.lit("refused"))
        .when(has_failed & is_throttled)
        .then(pl.lit("throttled"))
        .when(has_failed)
        .then(pl.lit("failed"))
        .otherwise(pl.lit("ok"))
    )


def on_plan(host: pl.Expr) -> pl.Expr:
    """Whether a host is the plan's; null when it is neither the plan's nor its pay-as-you-go."""
    return pl.when(host.str.contains(PAYG_HOST)).then(host.str.contains(PLAN_HOST))
