"""Taking files in from outside: detect, copy into landing, say what was recognised.

Belongs here: the answer to `cloudbound ingest`. Does not belong here: the folder (landing.py),
the formats (sources/), the tables on a terminal (inspection.py).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipelines import landing
from pipelines.errors import UsageError
from pipelines.night import utc_now
from pipelines.settings import Settings
from pipelines.sources import registry


def check_arguments(form: str, timezone: str) -> None:
    """Raises UsageError naming the formats, or a zone, when one of the two doesn't exist."""
    if form != "auto":
        registry.named(form)
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"There is no time zone {timezone!r}: use one like Asia/Shanghai."
        ) from None


def ingest(
    places: Settings, paths: Sequence[Path], source: str, form: str, timezone: str
) -> list[dict[str, Any]]:
    """Copy the files into landing/<source>: file, format (null when none reads it), because.

    Raises UsageError for a missing path, a bad source, format or zone; then nothing is taken.
    """
    check_arguments(form, timezone)
    taken = landing.ingest(places.landing, paths, source, utc_now(), form, timezone)
    answer = []
    for file in taken:
        name, because = form, "you said so"
        if form == "auto":
            found = registry.detect(file.path)
            name = found[0].name if found else ""
            because = found[1] if found else registry.why_not(file.path)
        answer.append(
            {"file": f"{file.source}/{file.name}", "format": name or None, "because": because}
        )
    return answer


def text(taken: Sequence[dict[str, Any]]) -> str:
    """The answer of ingest as lines."""
    lines = [
        f"{t['file']}: looks like {t['format']}, because {t['because']}"
        if t["format"]
        else f"{t['file']}: will be rejected whole, because {t['because']}"
        for t in taken
    ]
    return "\n".join([*lines, f"{len(taken)} files are in landing; cloudbound nightly reads them."])
