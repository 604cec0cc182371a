"""The formats that Cloudbound reads, in the order in which they are tried.

Belongs here: the list of adapters and the choice of one for a file.
Does not belong here: anything about a format that is read.
"""

from pathlib import Path

from pipelines.errors import UsageError
from pipelines.sources import (
    alibaba_bill,
    alibaba_orders,
    canonical,
    focus,
    litellm,
    otlp,
    stripe,
)  # fmt: skip
from pipelines.sources.base import Format
from pipelines.sources.tables import columns_of, head_of, kind_of

# A new format is a module, and its name here; the first that recognises a file reads it.
MODULES = (focus, alibaba_bill, litellm, otlp, stripe, alibaba_orders, canonical)
FORMATS: tuple[Format, ...] = tuple(form for module in MODULES for form in module.FORMATS)
# Files that people bring and that are not read, by a column of theirs: what to bring instead.
STRANGERS = (
    ("lineItem/UsageStartDate", "an AWS Cost and Usage Report", "export it as FOCUS"),
    ("line_item_usage_start_date", "an AWS Cost and Usage Report", "export it as FOCUS"),
    ("MeterCategory", "an Azure cost export of its own schema", "export it as FOCUS"),
    ("RecordID", "Alibaba's QueryBill", "bring DescribeInstanceBill by day, or FOCUS"),
    ("SplitItemID", "Alibaba's split bill", "bring DescribeInstanceBill by day, or FOCUS"),
    ("resourceLogs", "OTLP logs", "bring the traces"),
    ("resourceMetrics", "OTLP metrics", "bring the traces"),
    ("ChargePeriodStart", "a part of FOCUS", "it needs BilledCost and BillingAccountId too"),
)


def names() -> list[str]:
    return sorted({f.name for f in FORMATS})


def named(name: str) -> Format:
    """The adapter of that name. Raises UsageError listing the names that exist."""
    for form in FORMATS:
        if form.name == name:
            return form
    raise UsageError(f"There is no format {name!r}: use auto or one of {', '.join(names())}.")


def detect(path: Path) -> tuple[Format, str] | None:
    """The first format that the file's content looks like, and why; None when there is none."""
    head = head_of(path)
    for form in FORMATS:
        reason = form.looks_like(path, head)
        if reason:
            return form, reason
    return None


def why_not(path: Path) -> str:
    """Why a file looks like none of the formats, in a few words."""
    if path.is_dir():
        return "it is a folder, not a file"
    head = head_of(path)
    if not head:
        return "it is empty or its gzip is damaged"
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "it is UTF-16 text: save it as UTF-8"
    if head[:4] == b"PK\x03\x04":
        return "it is a zip: unpack it"
    columns = columns_of(path, head)
    for column, what, instead in STRANGERS:
        if column in columns:
            return f"it is {what}: {instead}"
    kind = kind_of(path, head)
    if not columns:
        return f"it is no {kind} file that can be opened"
    shown = "".join(c if c.isprintable() else "?" for c in ", ".join(columns[:6])[:300])
    return f"it is {kind} with the columns {shown}, which no format has"
