"""Telling someone that a night failed, was stopped or is missing.

Belongs here: what is said, and the command and the webhook that it is said to.
Does not belong here: finding out how a night ended (cli.py, defs/alarms.py), any retry of it.
"""

import json
import os
import shlex
import subprocess
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from pipelines import warehouse
from pipelines.errors import UsageError
from pipelines.settings import Settings

STALE_AFTER = timedelta(hours=36)
_COMMAND_SECONDS, _WEBHOOK_SECONDS = 30, 10
# Nothing that a told command needs, and nothing that it should hand on.
_SECRETS = ("CLOUDBOUND_MEMBER_KEY", "CLOUDBOUND_POSTGRES_URL", "CLOUDBOUND_ALERT_WEBHOOK")


@dataclass(frozen=True)
class Alarm:
    """What happened: kind is failed, stopped or missed; text is one sentence."""

    kind: str
    text: str
    run_id: str = ""


def tell(places: Settings, alarm: Alarm) -> list[str]:
    """Run the configured command and call the configured webhook; what went wrong with them.

    The command gets the sentence as its last argument and the alarm as JSON on standard input,
    the webhook gets that JSON by POST. Neither can fail the night: a fault is a sentence here,
    and names no address, because a webhook's address is a secret.
    """
    body = json.dumps(asdict(alarm), ensure_ascii=False)
    faults = []
    if places.alert_command:
        faults += _run(places.alert_command, alarm.text, body)
    if places.alert_webhook:
        faults += _post(places.alert_webhook, body)
    return faults


def _run(command: str, text: str, body: str) -> list[str]:
    clean = {k: v for k, v in os.environ.items() if k not in _SECRETS}
    try:
        done = subprocess.run(
            [*shlex.split(command), text],
            input=body.encode(),
            env=clean,
            capture_output=True,
            timeout=_COMMAND_SECONDS,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return [f"The alert command could not be run ({type(error).__name__})."]
    return [f"The alert command ended with code {done.returncode}."] if done.returncode else []


def _post(address: str, body: str) -> list[str]:
    if urlsplit(address).scheme not in ("http", "https"):
        return ["The alert webhook is not an http or https address."]
    request = urllib.request.Request(
        address, data=body.encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_WEBHOOK_SECONDS):
            return []
    except (OSError, ValueError) as error:
        code = f", status {error.code}" if isinstance(error, urllib.error.HTTPError) else ""
        return [f"The alert webhook did not take the alarm ({type(error).__name__}{code})."]


def last_published(places: Settings) -> datetime | None:
    """When the newest night was published, None when none ever was."""
    try:
        with warehouse.published(places.published) as con:
            row = warehouse.one(con, "select max(published_at) from ops.runs")
    except UsageError:
        return None
    return row[0] if row else None


def is_overdue(published_at: datetime | None, now: datetime) -> bool:
    """Whether the newest print is older than 36 hours: a night was missed."""
    return published_at is None or now - published_at > STALE_AFTER


def overdue(places: Settings, now: datetime) -> Alarm | None:
    """The alarm of a missed night; None while the published file is young enough."""
    published_at = last_published(places)
    if not is_overdue(published_at, now):
        return None
    hours = STALE_AFTER // timedelta(hours=1)
    since = f"since {published_at:%Y-%m-%d %H:%M} UTC" if published_at else "ever"
    return Alarm(
        "missed",
        f"No night has been published {since} (more than {hours} hours): see the last run in "
        "the Dagster UI, or run cloudbound nightly.",
    )
