"""The formats that Cloudbound reads, in the order in which they are tried.

Belongs here: the list of adapters and the choice of one for a file.
Does not belong here: anything about a format.
"""

from pathlib import Path

from pipelines.errors import UsageError
from pipelines.sources import canonical, focus, litellm, stripe
from pipelines.sources.base import Format
from pipelines.sources.tables import head_of

FORMATS: tuple[Format, ...] = (
    *focus.FORMATS,
    *litellm.FORMATS,
    *stripe.FORMATS,
    *canonical.FORMATS,
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
