"""Whether everything that a night needs is in order, one finding a part.

Belongs here: looking, and saying in a sentence what is wrong and what to do. Nothing is changed.
Does not belong here: how a part works (its own module).
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from pipelines import definition, headline, lake, landing, reference, settings, warehouse
from pipelines.errors import UsageError
from pipelines.settings import Settings

PYTHONS = ((3, 11), (3, 13))
LEAST_FREE_BYTES = 2 * 2**30
LEAST_MEMORY_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Finding:
    """One part that was looked at: ok, warn (works, look at it) or wrong (mend it first)."""

    part: str
    status: str
    said: str


def examine() -> list[Finding]:
    """All findings, in the order in which data flows. Never raises for what it finds."""
    found = [*_machine()]
    try:
        places = settings.from_environment()
    except UsageError as error:
        return [*found, Finding("settings", "wrong", str(error))]
    parts: dict[str, Callable[[Settings], Finding]] = {
        "disk": _disk,
        "reference": _reference,
        "landing": _landing,
        "lake": _lake,
        "build": _build,
        "published": _published,
        "dagster": _dagster,
    }
    for part, look in parts.items():
        try:
            found.append(look(places))
        except UsageError as error:
            found.append(Finding(part, "wrong", str(error)))
        except duckdb.Error as error:
            said = f"{places.published} is damaged ({str(error).splitlines()[0]}): run cloudbound nightly, which replaces it."
            found.append(Finding(part, "wrong", said))
        except OSError as error:
            said = f"{error.filename or places.data} can't be read ({error.strerror or error}): give this user the right to it."
            found.append(Finding(part, "wrong", said))
    return found


def is_well(findings: list[Finding]) -> bool:
    return all(f.status != "wrong" for f in findings)


def as_rows(findings: list[Finding]) -> list[dict[str, Any]]:
    return [{"part": f.part, "status": f.status, "said": f.said} for f in findings]


def _machine() -> Iterator[Finding]:
    running = sys.version_info[:2]
    version = ".".join(map(str, running))
    if PYTHONS[0] <= running <= PYTHONS[1]:
        yield Finding("python", "ok", f"Python {version}.")
    else:
        yield Finding("python", "wrong", f"Python {version} is not tried: use 3.11, 3.12 or 3.13.")
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    few = cores < 2
    yield Finding(
        "cores",
        "warn" if few else "ok",
        f"{cores} cores" + (": a night takes about twice as long as on two." if few else "."),
    )
    memory = _memory()
    low = memory is not None and memory < LEAST_MEMORY_BYTES
    said = "unknown" if memory is None else f"{memory / 2**30:.1f} GiB of memory are free"
    yield Finding(
        "memory",
        "warn" if low else "ok",
        said
        + (": set CLOUDBOUND_MEMORY to less than that, or end other programs." if low else "."),
    )


def _memory() -> int | None:
    """Bytes that a new process could take; null where the system doesn't tell."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    kib = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return int(kib) * 1024 if kib else None


def _disk(places: Settings) -> Finding:
    there = next(p for p in (places.data, *places.data.parents) if p.exists())
    if not os.access(there, os.W_OK):
        return Finding(
            "disk",
            "wrong",
            f"{there} can't be written: give this user the right to it, or point CLOUDBOUND_DATA elsewhere.",
        )
    free = shutil.disk_usage(there).free
    build = places.build.stat().st_size if places.build.is_file() else 0
    needed = LEAST_FREE_BYTES + 2 * build
    said = f"{free / 2**30:.1f} GiB are free on the disk of {places.data}"
    if free < needed:
        return Finding(
            "disk", "wrong", f"{said}, a night may need {needed / 2**30:.1f}: free space."
        )
    return Finding("disk", "ok", f"{said}.")


def _reference(places: Settings) -> Finding:
    rule = definition.load(places.reference / "definition.toml")
    reference.load(places.reference)
    return Finding(
        "reference",
        "ok",
        f"Definition {rule.hash} and the reference files in {places.reference} are usable.",
    )


def _landing(places: Settings) -> Finding:
    files = landing.file_names(places.landing)
    if not files:
        return Finding(
            "landing",
            "wrong",
            f"{places.landing} holds no files: run cloudbound ingest PATH --source NAME, or cloudbound demo.",
        )
    sources = {f.parts[0] for f in files}
    return Finding(
        "landing", "ok", f"{len(files)} files of {len(sources)} sources in {places.landing}."
    )


def _lake(places: Settings) -> Finding:
    inventory = places.lake / "inventory.json"
    if not inventory.is_file():
        return Finding(
            "lake", "warn", f"{places.lake} has not been filled yet: run cloudbound nightly."
        )
    try:
        entries = lake.inventory(places.lake)
    except (ValueError, KeyError, TypeError) as error:
        said = f"{inventory} is broken ({error}): delete {places.lake}, the next night reads landing again."
        return Finding("lake", "wrong", said)
    gone = [
        path
        for e in entries
        if not e.is_copy and not e.is_expired
        for day in e.days
        if not (path := e.path(places.lake, day)).is_file()
    ]
    if gone:
        return Finding(
            "lake",
            "wrong",
            f"{len(gone)} files of the lake are gone, {gone[0]} first: delete {places.lake}, the next night reads landing again.",
        )
    unreadable = [e for e in entries if e.family == "unknown"]
    if unreadable:
        first = unreadable[0]
        return Finding(
            "lake",
            "warn",
            f"{len(unreadable)} of {len(entries)} files could not be read, {first.source}/{first.name} first ({first.whole_file_reason}): see ops.rejects.",
        )
    return Finding("lake", "ok", f"{len(entries)} files are in the lake, none is missing.")


def _build(places: Settings) -> Finding:
    if not places.build.is_file():
        return Finding(
            "build", "warn", f"There is no {places.build}: the next night builds it from the lake."
        )
    state = warehouse.state(places.build)
    if state == "held":
        return Finding(
            "build", "warn", f"A night is at work on {places.build}: wait until it is done."
        )
    if state == "broken":
        return Finding(
            "build",
            "wrong",
            f"{places.build} is damaged: copy {places.published} to it, or delete it, and the next night goes on.",
        )
    return Finding("build", "ok", f"{places.build} opens.")


def _published(places: Settings) -> Finding:
    if places.published.is_file() and warehouse.state(places.published) == "broken":
        return Finding(
            "published",
            "wrong",
            f"{places.published} is damaged: run cloudbound nightly, which replaces it.",
        )
    answer = headline.read(places, None, None)
    said = f"Published {answer['published_at']:%Y-%m-%d %H:%M} UTC, as of {answer['as_of']}"
    rule = definition.load(places.reference / "definition.toml")
    if rule.hash != answer["definition"]:
        return Finding(
            "published",
            "warn",
            f"{said}, under definition {answer['definition']}, but {rule.hash} is in force: run cloudbound nightly.",
        )
    if answer["stale"]:
        return Finding(
            "published",
            "warn",
            f"{said}, but it is old or landing holds newer files: run cloudbound nightly.",
        )
    return Finding("published", "ok", f"{said}.")


def _dagster(places: Settings) -> Finding:
    home = Path(os.environ.get("DAGSTER_HOME") or settings.CHECKOUT)
    if not home.is_absolute():
        return Finding(
            "dagster",
            "wrong",
            f"DAGSTER_HOME is {str(home)!r}, which is no absolute path: write it out from the root, as in $PWD.",
        )
    if not (home / "dagster.yaml").is_file():
        return Finding(
            "dagster",
            "wrong",
            f"{home} holds no dagster.yaml: point DAGSTER_HOME at {settings.CHECKOUT}.",
        )
    if not places.dagster.is_dir():
        return Finding(
            "dagster", "warn", f"{places.dagster} has no history yet: the first night begins it."
        )
    if not os.access(places.dagster, os.W_OK):
        return Finding(
            "dagster",
            "wrong",
            f"{places.dagster} can't be written: give this user the right to it.",
        )
    return Finding(
        "dagster", "ok", f"Settings from {home / 'dagster.yaml'}, history in {places.dagster}."
    )
