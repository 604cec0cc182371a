"""Landing files to clean events by business day, each file once.

Belongs here: the walk detect -> read -> contract -> day files, the catalog that says what was
done, and the choice of what a night may see (known-at).
Does not belong here: any reduction of events (rollup/), any SQL.

lake/<family>/day=<business day>/<fingerprint>.parquet   good rows, sorted by team
lake/rejects/<fingerprint>.parquet                       line, reason, row
lake/ids/<fingerprint>.parquet                           account, sub_account: who delivered rows
lake/catalog/<fingerprint>.json                          written last: the file is done

A fingerprint names bytes, the adapter that read them and the settings that matter, never a file
name: the same bytes delivered twice are one entry. Families that are small (subscriptions,
links, teams, assignments, channel costs) lie under day=all.
"""

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from pipelines import contracts
from pipelines.errors import UsageError
from pipelines.landing import LandingFile
from pipelines.rollup.calendar import (
    daily_parts,
    is_unallocated_credit,
    on_business_day,
)
from pipelines.sources import registry
from pipelines.sources.base import Format, Options, UnreadableFile

LAKE_VERSION = 1
UNDATED = "all"
DATED = {"requests": "requested_at", "charges": "charge_start"}
OWNED = ("requests", "subscriptions", "charges")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Entry:
    """What became of one delivered file."""

    fingerprint: str
    source: str
    name: str
    snapshot: str
    sha256: str
    recorded_at: datetime
    family: str
    format: str
    because: str
    rows_read: int = 0
    rejected: int = 0
    whole_file_reason: str = ""
    days: dict[str, int] = field(default_factory=dict)
    newest_on: str = ""
    credit_days: tuple[str, ...] = ()
    statements: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    is_copy: bool = False

    def path(self, lake: Path, day: str) -> Path:
        return lake / self.family / f"day={day}" / f"{self.fingerprint}.parquet"


@dataclass(frozen=True)
class Context:
    """The settings that decide what a file's rows become."""

    lake: Path
    zone: str
    currencies: frozenset[str]
    member_key: str = ""


def fingerprint(file: LandingFile, form: Format | None, context: Context) -> str:
    """16 hex digits over everything that decides the rows of this file."""
    parts = [
        str(LAKE_VERSION), file.source, file.sha256, file.timezone, context.zone,
        context.member_key,
    ]  # fmt: skip
    if form is not None:
        parts += [form.name, str(form.version)]
    if form is None or form.family == "charges":
        # The same bytes in another snapshot are another statement of the bill.
        parts += [file.snapshot, *sorted(context.currencies)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def load(files: Iterable[LandingFile], context: Context, progress: Progress) -> list[Entry]:
    """Bring every file into the lake that is not there yet; the catalog of all of them.

    The copies of one file are listed too, marked is_copy, so that every row read is accounted
    for; the kept one is the first recorded, ties by name.
    """
    ordered = sorted(files, key=lambda f: (f.recorded_at, f.source, f.name))
    chosen = [_choose(file) for file in ordered]
    marks = [fingerprint(f, form, context) for f, (form, _) in zip(ordered, chosen, strict=True)]
    first_of = {mark: at for at, mark in reversed(list(enumerate(marks)))}
    todo = [at for at in first_of.values() if not _catalog(context.lake, marks[at]).is_file()]
    # Small files are one thread's work; the frames of big ones use all cores by themselves.
    with ThreadPoolExecutor(max_workers=2) as pool:
        bring = pool.map(lambda at: _bring(ordered[at], *chosen[at], marks[at], context), todo)
        for done, _ in enumerate(bring, 1):
            progress("landing -> lake", done, len(todo))
    entries = []
    for at, (file, mark) in enumerate(zip(ordered, marks, strict=True)):
        entry = _from_json(_catalog(context.lake, mark), file)
        entries.append(replace(entry, is_copy=first_of[mark] != at))
    return entries


def _catalog(lake: Path, mark: str) -> Path:
    return lake / "catalog" / f"{mark}.json"


def save_inventory(entries: Iterable[Entry], lake: Path) -> None:
    """Remember what landing held, so that later steps need not look at it again."""
    partial = lake / ".inventory.partial"
    lake.mkdir(parents=True, exist_ok=True)
    partial.write_text(json.dumps([vars(e) for e in entries], default=str), "utf-8")
    partial.replace(lake / "inventory.json")


def inventory(lake: Path) -> list[Entry]:
    """The entries of the last look at landing. Raises UsageError when there was none."""
    path = lake / "inventory.json"
    if not path.is_file():
        raise UsageError(
            f"There is no {path}: run the asset lake/files (or the whole night) first."
        )
    return [_entry_of(stored) for stored in json.loads(path.read_text("utf-8"))]


def visible(entries: Iterable[Entry], known_at: datetime | None) -> list[Entry]:
    """Entries recorded up to known_at (the knowledge clock), all of them when it is None."""
    return [e for e in entries if known_at is None or e.recorded_at <= known_at]


def _bring(
    file: LandingFile, form: Format | None, because: str, mark: str, context: Context
) -> None:
    """One file into the lake; its catalog entry is written last."""
    entry = Entry(
        fingerprint=mark,
        source=file.source,
        name=file.name,
        snapshot=file.snapshot,
        sha256=file.sha256,
        recorded_at=file.recorded_at,
        family=form.family if form else "unknown",
        format=form.name if form else "unknown",
        because=because,
    )
    entry = _convert(file, form, entry, context) if form else _unreadable(entry, because, context)
    catalog = _catalog(context.lake, mark)
    catalog.parent.mkdir(parents=True, exist_ok=True)
    partial = catalog.with_suffix(".partial")
    partial.write_text(json.dumps(vars(entry), default=str), "utf-8")
    partial.replace(catalog)


def _choose(file: LandingFile) -> tuple[Format | None, str]:
    if file.refused:
        return None, file.refused
    if file.format != "auto":
        return registry.named(file.format), f"the manifest says {file.format}"
    found = registry.detect(file.path)
    return found if found else (None, registry.why_not(file.path))


def _from_json(catalog: Path, file: LandingFile) -> Entry:
    stored = json.loads(catalog.read_text("utf-8"))
    stored |= {"name": file.name, "snapshot": file.snapshot}
    return _entry_of(stored | {"recorded_at": file.recorded_at.isoformat()})


def _entry_of(stored: dict[str, Any]) -> Entry:
    recorded_at = datetime.fromisoformat(stored["recorded_at"])
    lists = {k: tuple(stored[k]) for k in ("statements", "warnings", "credit_days")}
    return Entry(**stored | lists | {"recorded_at": recorded_at})


def _unreadable(entry: Entry, reason: str, context: Context) -> Entry:
    _write_rejects(
        entry,
        [pl.DataFrame([(0, reason, "")], contracts.REJECTED, orient="row")],
        context,
    )
    return replace(entry, whole_file_reason=reason)


def _convert(file: LandingFile, form: Format, entry: Entry, context: Context) -> Entry:
    staging = context.lake / ".staging" / entry.fingerprint
    shutil.rmtree(staging, ignore_errors=True)
    rejects: list[pl.DataFrame] = []
    statements: list[pl.DataFrame] = []
    days: dict[str, int] = defaultdict(int)
    rows_read, newest_on = 0, ""
    held: list[pl.DataFrame] = []
    warnings: set[str] = set()
    credit_days: set[str] = set()
    ids: list[pl.DataFrame] = []
    try:
        for number, chunk in enumerate(form.read(file.path, Options(timezone=file.timezone))):
            good, rejected = contracts.split(form.family, chunk.rows, chunk.raw, context.currencies)
            rows_read += chunk.rows.height + chunk.broken.height
            rejects += [f for f in (chunk.broken, rejected) if f.height]
            warnings |= set(chunk.warnings)
            dated = _by_day(form.family, _pseudonymised(good, context.member_key), context.zone)
            if form.family == "charges" and good.height:
                statements.append(_statements(dated))
                credit_days |= set(dated.filter(is_unallocated_credit())["day"])
                dated = dated.drop("whole_billed", "whole_effective")
            # One chunk is held in memory; only a file of several goes through the disk.
            for earlier in held:
                _spill(earlier, staging, number)
            held = [dated]
            for day, rows in dated.group_by("day").len().iter_rows():
                days[day] += rows
            ids.append(_identities(form.family, good))
            newest_on = max(newest_on, _newest_on(form.family, good, context.zone))
    except UnreadableFile as error:
        shutil.rmtree(staging, ignore_errors=True)
        return _unreadable(replace(entry, rows_read=rows_read), str(error), context)
    if rows_read == 0:
        return _unreadable(entry, "the file has no rows", context)
    for last in held:
        _write_days(last, staging, entry, context)
    shutil.rmtree(staging, ignore_errors=True)
    _write_rejects(entry, rejects, context)
    _write(pl.concat(ids).unique().sort(pl.all()), _ids_path(entry, context.lake))
    return replace(
        entry,
        rows_read=rows_read,
        rejected=sum(r.height for r in rejects),
        days=dict(sorted(days.items())),
        newest_on=newest_on,
        credit_days=tuple(sorted(credit_days)),
        statements=tuple(_merged(statements).to_dicts()) if statements else (),
        warnings=tuple(sorted(warnings)),
    )


def _spill(dated: pl.DataFrame, staging: Path, number: int) -> None:
    for (day,), part in dated.partition_by("day", as_dict=True).items():
        folder = staging / str(day)
        folder.mkdir(parents=True, exist_ok=True)
        part.write_parquet(folder / f"{number:06d}.parquet")


def _write_days(last: pl.DataFrame, staging: Path, entry: Entry, context: Context) -> None:
    """One sorted Parquet per day, from the last chunk and what was spilled before it."""
    parts = {str(d): p for (d,), p in last.partition_by("day", as_dict=True).items()}
    spilled = {p.name for p in staging.iterdir()} if staging.is_dir() else set()
    for day in sorted(parts.keys() | spilled):
        pieces = [pl.read_parquet(p) for p in sorted((staging / day).glob("*.parquet"))]
        pieces += [parts[day]] if day in parts else []
        frame = pl.concat(pieces).drop("day")
        order = [c for c in ("team", "account", "team_id", "line") if c in frame.columns]
        _write(frame.sort(order), entry.path(context.lake, day))


def _write(frame: pl.DataFrame, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    frame.write_parquet(partial, compression="zstd", compression_level=1, statistics=False)
    partial.replace(target)


def _write_rejects(entry: Entry, rejects: list[pl.DataFrame], context: Context) -> None:
    if not rejects:
        return
    target = context.lake / "rejects" / f"{entry.fingerprint}.parquet"
    _write(pl.concat(rejects).sort("line"), target)


def _by_day(family: str, good: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Rows with the column day (text); charges become one row per business day they cover."""
    if family == "charges":
        month = pl.col("charge_start").dt.truncate("1mo")
        good = good.with_columns(
            billing_period=pl.coalesce("billing_period", month),
            whole_billed=pl.col("billed"),
            whole_effective=pl.col("effective"),
        )
        return daily_parts(good, zone).with_columns(day=pl.col("usage_on").cast(pl.String))
    if family in DATED:
        day = on_business_day(pl.col(DATED[family]), zone).cast(pl.String)
        return good.with_columns(day=day)
    return good.with_columns(day=pl.lit(UNDATED))


_IDENTITY: dict[str, Any] = {"account": pl.String, "sub_account": pl.String}


def _identities(family: str, good: pl.DataFrame) -> pl.DataFrame:
    """Whose rows these are, in the source's own words: account, sub_account."""
    if family == "charges":
        return good.select("account", "sub_account").unique()
    if family in OWNED:
        return good.select(account="team", sub_account=pl.lit(None, pl.String)).unique()
    return pl.DataFrame(schema=_IDENTITY)


def _ids_path(entry: Entry, lake: Path) -> Path:
    return lake / "ids" / f"{entry.fingerprint}.parquet"


def identities(entries: Iterable[Entry], lake: Path) -> pl.DataFrame:
    """source, account, sub_account of everyone who delivered a row."""
    frames = [pl.DataFrame(schema={"source": pl.String} | _IDENTITY)]
    for entry in entries:
        if entry.family in OWNED and not entry.is_copy and not entry.whole_file_reason:
            frame = pl.read_parquet(_ids_path(entry, lake))
            frames.append(frame.select(pl.lit(entry.source).alias("source"), *_IDENTITY))
    return pl.concat(frames).unique().sort(pl.all())


def _newest_on(family: str, good: pl.DataFrame, zone: str) -> str:
    """Newest business day on which a row begins, '' when there is none.

    A prepaid charge reaches into the future, but only its first day was observed.
    """
    if family not in DATED or good.height == 0:
        return ""
    days = good.select(on_business_day(pl.col(DATED[family]), zone).max().cast(pl.String))
    return str(days.item())


_STATEMENT = ["account", "billing_period", "currency"]


def _statements(dated: pl.DataFrame) -> pl.DataFrame:
    """Per (account, billing period, currency): rows, sums, and what they hold.

    Sums are over whole charges, before they are split into days, so that a check can hold the
    facts against them.
    """
    whole = dated.unique("line", keep="first", maintain_order=True)
    return whole.group_by(_STATEMENT).agg(
        rows=pl.len(),
        has_effective=pl.col("effective").is_not_null().any(),
        billed=pl.col("whole_billed").sum(),
        effective=pl.col("whole_effective").sum(),
        starts_on=pl.col("usage_on").min().cast(pl.String),
    )


def _merged(statements: list[pl.DataFrame]) -> pl.DataFrame:
    merged = (
        pl.concat(statements)
        .group_by(_STATEMENT)
        .agg(
            pl.col("rows", "billed", "effective").sum(),
            pl.col("has_effective").any(),
            pl.col("starts_on").min(),
        )
    )
    return merged.sort(_STATEMENT)


def _pseudonymised(good: pl.DataFrame, key: str) -> pl.DataFrame:
    """Member ids as keyed hashes when a key is set; e-mail-like ids are always hashed."""
    if "member" not in good.columns:
        return good
    names = good["member"].drop_nulls().unique()
    secret = [n for n in names if key or "@" in n]
    hashes = {
        n: "m-" + hashlib.blake2b(n.encode(), key=key.encode()[:64], digest_size=10).hexdigest()
        for n in secret
    }
    if not hashes:
        return good
    return good.with_columns(pl.col("member").replace(hashes))


def rejects(entry: Entry, lake: Path) -> pl.DataFrame:
    """line, reason, row of one entry's rejected rows (line 0: the whole file)."""
    path = lake / "rejects" / f"{entry.fingerprint}.parquet"
    return pl.read_parquet(path) if path.is_file() else pl.DataFrame(schema=contracts.REJECTED)


def days_of(entries: Iterable[Entry], family: str) -> dict[date, list[Entry]]:
    """Business day -> entries with rows of the family on it, sorted by fingerprint."""
    found: dict[date, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda e: e.fingerprint):
        if entry.family == family and not entry.is_copy:
            for day in entry.days:
                if day != UNDATED:
                    found[date.fromisoformat(day)].append(entry)
    return dict(sorted(found.items()))


def read_days(
    files: list[tuple[date, Entry]], lake: Path, columns: list[str] | None = None
) -> pl.DataFrame:
    """Rows of many day files at once, with usage_on, source, snapshot and fingerprint.

    One scan: opening thousands of small files one by one costs more than reading them.
    """
    paths = [str(entry.path(lake, str(day))) for day, entry in files]
    scan = pl.scan_parquet(paths, include_file_paths="path", glob=False)
    if columns is not None:
        scan = scan.select(*columns, "path")
    rows = scan.with_columns(pl.col("path").cast(pl.Enum(paths)).to_physical()).collect()
    origins = pl.DataFrame(
        [(day, e.source, e.snapshot, e.fingerprint) for day, e in files],
        schema={
            "usage_on": pl.Date,
            "source": pl.String,
            "snapshot": pl.String,
            "fingerprint": pl.String,
        },
        orient="row",
    )
    return rows.drop("path").with_columns(c.gather(rows["path"]) for c in origins.get_columns())


def read_undated(entries: Iterable[Entry], family: str, lake: Path) -> pl.DataFrame:
    """All rows of a family that has no days (or all days of one that has), with their origin."""
    origin = {name: pl.lit(None, pl.String) for name in ("source", "fingerprint", "file")}
    frames = [contracts.empty(family).with_columns(**origin)]
    for entry in sorted(entries, key=lambda e: (e.source, e.fingerprint)):
        if entry.family != family or entry.is_copy:
            continue
        for day in entry.days:
            frame = pl.read_parquet(entry.path(lake, day))
            frames.append(
                frame.with_columns(
                    source=pl.lit(entry.source),
                    fingerprint=pl.lit(entry.fingerprint),
                    file=pl.lit(f"{entry.source}/{entry.name}"),
                )
            )
    return pl.concat(frames, how="diagonal")
