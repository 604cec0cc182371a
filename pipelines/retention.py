"""Letting go of raw files whose days are long past: landing and lake, never a fact.

Belongs here: which files are old enough, and their removal. Does not belong here: forgetting
somebody (forgetting.py), Dagster's own history (history.py).

With them go lake files of an older lake version. A file of requests or charges goes when its newest day is more than CLOUDBOUND_KEEP_DAYS before
the as-of day and the facts are made of it. The manifest and the lake's catalog go on knowing it,
so its rows stay accounted for; the days that it fed are frozen: nothing rebuilds them any more.
Plan events, links, teams and assignments are small, every night needs all of them, and they stay.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pipelines import lake, landing
from pipelines import night as steps
from pipelines.defs.resources import only_one
from pipelines.settings import Settings


@dataclass(frozen=True)
class Expired:
    """Files whose bytes are gone now, and the first day that is still kept."""

    files: tuple[str, ...]
    kept_from: date


def expire(places: Settings, as_of: date, keep_days: int, now: datetime) -> Expired:
    """Delete files of landing and lake whose newest day is before as_of - keep_days.

    A file with a day that the facts don't hold yet waits for the next night. Raises UsageError
    while a night is at work.
    """
    kept_from = as_of - timedelta(days=keep_days)
    with only_one(places.lock, "cloudbound expire"):
        night = steps.prepare(places)
        entries = {(e.source, e.name): e for e in steps.take_stock(night, now)}
        pending = steps.changed_days(night)
        bills = steps.bills(night, list(entries.values()))
        counted = set(bills.filter("is_current")["fingerprint"])
        gone = []
        for file in landing.scan(places.landing, now):
            entry = entries[(file.source, file.name)]
            days = {date.fromisoformat(d) for d in entry.days if d != lake.UNDATED}
            if file.expired or not days or max(days) >= kept_from or days & pending:
                continue
            feeds_facts = entry.family != "charges" or entry.fingerprint in counted
            landing.expire(file, entry.fingerprint, feeds_facts)
            lake.remove(entry, places.lake, keep_catalog=True)
            gone.append(f"{file.source}/{file.name}")
        lake.prune(places.lake, steps.take_stock(night, now))
    return Expired(tuple(gone), kept_from)
