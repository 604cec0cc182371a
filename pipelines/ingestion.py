"""Taking files in from outside: detect, copy into landing, say what was recognised.

Belongs here: the answer to `cloudbound ingest`. Does not belong here: the folder (landing.py),
the formats (sources/).
"""

from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from pipelines import contracts, landing, reference
from pipelines.errors import UsageError
from pipelines.night import utc_now
from pipelines.settings import Settings
from pipelines.sources import registry
from pipelines.sources.base import Options, UnreadableFile


def ingest(
    places: Settings,
    paths: tuple[Path, ...],
    source: str,
    form: str,
    timezone: str,
    dry_run: bool,
) -> str:
    """Copy the files into landing/<source> (or only look at them) and describe each.

    Raises UsageError for a missing path, a bad source, format or zone; then nothing is taken.
    """
    if form != "auto":
        registry.named(form)
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise UsageError(
            f"There is no time zone {timezone!r}: use one like Asia/Shanghai."
        ) from None
    if dry_run:
        return "\n".join(
            describe(places, path, form, timezone)
            for given in paths
            for path, _ in landing.destinations(given)
        )
    taken = landing.ingest(places.landing, paths, source, utc_now(), form, timezone)
    lines = []
    for file in taken:
        found = None if form != "auto" else registry.detect(file.path)
        what = f"{form}, as asked" if form != "auto" else "nothing that can be read"
        if found:
            what = f"{found[0].name}, because {found[1]}"
        lines.append(f"{file.source}/{file.name}: {what}")
    return "\n".join([*lines, f"{len(taken)} files are in landing; cloudbound nightly reads them."])


def describe(places: Settings, path: Path, form: str, timezone: str) -> str:
    """What would be read, mapped, warned and rejected of one file, as text."""
    found = (registry.named(form), "you said so") if form != "auto" else registry.detect(path)
    if found is None:
        return f"{path}: it looks like none of {', '.join(registry.names())}; it would be rejected whole."
    adapter, because = found
    currencies = reference.load(places.reference).currencies
    good = rejected = 0
    reasons: Counter[str] = Counter()
    warnings: set[str] = set()
    filled: Counter[str] = Counter()
    try:
        for chunk in adapter.read(path, Options(timezone=timezone)):
            rows, bad = contracts.split(adapter.family, chunk.rows, chunk.raw, currencies)
            bad = pl.concat([bad, chunk.broken])
            good += rows.height
            rejected += bad.height
            reasons.update(bad["reason"].to_list())
            warnings |= set(chunk.warnings)
            filled.update({c: rows.height - rows[c].null_count() for c in rows.columns})
    except UnreadableFile as error:
        return f"{path}: looks like {adapter.name} because {because}, but {error}: rejected whole."
    lines = [
        f"{path}: looks like {adapter.name} ({adapter.family}) because {because}",
        f"  {good + rejected} rows: {good} would be accepted, {rejected} rejected",
    ]
    lines += [f"  rejected {n} x {why}" for why, n in reasons.most_common(20)]
    lines += [f"  warning: {w}" for w in sorted(warnings)]
    lines += [f"  {c:<22} {n} of {good} filled" for c, n in filled.items() if c != "line"]
    return "\n".join(lines)
