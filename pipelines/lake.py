"""Landing files to clean events by business day, each file once.

Belongs here: the walk detect -> read -> contract -> day files, the catalog that says what was
done, and the choice of what a night may see (known-at).
Does not belong here: any reduction of events (rollup/), any SQL.

lake/<family>/day=<business day>/<fingerprint>.parquet   good rows, sorted by team
lake/rejects/<fingerprint>.parquet                       line, reason, row
lake/ids/<fingerprint>.parquet                           account, sub_account: who delivered rows
lake/statements/<fingerprint>.parquet                    of bills: see STATEMENTS
lake/catalog/<fingerprint>.json                          written last: the file is done

A fingerprint names bytes, the adapter that read them and the settings that matter, never a file
name: the same bytes delivered twice are one entry. Families that are small (subscriptions,
links, teams, assignments, channel costs) lie under day=all.
"""

import hashlib
import io
import json
import secrets
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines import contracts
from pipelines.contracts import AMOUNT, REJECTED
from pipelines.errors import UsageError
from pipelines.landing import LandingFile
from pipelines.rollup.calendar import business_days, daily_parts, is_unallocated_credit
from pipelines.sources import registry
from pipelines.sources.base import (
    UTC_MICROSECONDS,
    Format,
    Options,
    UnreadableFile,
    ahead,
    as_text,
    ranks,
    texts_of,
)

LAKE_VERSION = 4
HELD_BYTES = 256 << 20  # of a file's rows that wait in memory for their day files
HELD_ROWS = 2_000_000  # of a day that are sorted in memory
MOST_SHOWN = 100_000  # rejects of a file that keep their text
MOST_REFUSED = 1_000_000  # rows, with none accepted: the file is not what it seems
_SCHEMA = "ARROW:schema"  # where Parquet keeps the types that its readers see
ROW_GROUP = 122_880  # rows; what DuckDB hands a thread, and small enough to stream
UNDATED = "all"
DATED = {"requests": "requested_at", "charges": "charge_start"}
OWNED = ("requests", "subscriptions", "charges")
Progress = Callable[[str, int, int], None]
ROWS_AT_ONCE = 1_000_000  # of the days that are read together


@dataclass(frozen=True)
class Entry:
    """What became of one delivered file.

    money: currency, billed, effective of all rows in which an
    amount can be read, whatever becomes of them; rejected_money: of the rejected ones.
    """

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
    money: tuple[dict[str, str], ...] = ()
    rejected_money: tuple[dict[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    is_copy: bool = False
    is_expired: bool = False  # its rows are no longer kept
    is_frozen: bool = False  # and facts were made of them, which stay as they are

    def path(self, lake: Path, day: str) -> Path:
        return lake / self.family / f"day={day}" / f"{self.fingerprint}.parquet"


Days = dict[date, list[Entry]]  # business day -> the files that have rows on it


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
        str(LAKE_VERSION), str(contracts.VERSION), file.source, file.sha256, file.timezone, context.zone,
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
    chosen = [(None, "") if file.expired else _choose(file) for file in ordered]
    marks = [
        f.expired or fingerprint(f, form, context)
        for f, (form, _) in zip(ordered, chosen, strict=True)
    ]
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
    frozen = frozen_days(entries, "charges")
    return [_refused(e) if _is_too_late(e, frozen) else e for e in entries]


def frozen_days(entries: Iterable[Entry], family: str) -> frozenset[date]:
    """Days whose facts stay as they are, because rows that they were made of are gone."""
    return frozenset(
        date.fromisoformat(day)
        for e in entries
        if e.family == family and e.is_frozen
        for day in e.days
    )


def _is_too_late(entry: Entry, frozen: frozenset[date]) -> bool:
    dated = entry.family == "charges" and not entry.is_expired
    return dated and any(date.fromisoformat(day) in frozen for day in entry.days)


def _refused(entry: Entry) -> Entry:
    """A bill that restates days whose other rows are gone can't be added up any more."""
    reason = "it bills days whose earlier bills are no longer kept (CLOUDBOUND_KEEP_DAYS)"
    return replace(entry, whole_file_reason=reason, rejected=entry.rows_read, days={})


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
    entry = _convert(file, form, entry, context) if form else _unreadable(entry, because)
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
    stored |= {"is_expired": bool(file.expired), "is_frozen": file.is_frozen}
    return _entry_of(stored | {"recorded_at": file.recorded_at.isoformat()})


_LISTS = ("warnings", "credit_days", "money", "rejected_money")


def _entry_of(stored: dict[str, Any]) -> Entry:
    recorded_at = datetime.fromisoformat(stored["recorded_at"])
    lists = {k: tuple(stored[k]) for k in _LISTS}
    return Entry(**stored | lists | {"recorded_at": recorded_at})


def _unreadable(entry: Entry, reason: str) -> Entry:
    """All of the file is rejected."""
    return replace(entry, whole_file_reason=reason, rejected=entry.rows_read)


def _convert(file: LandingFile, form: Format, entry: Entry, context: Context) -> Entry:
    staging = _Staging(context.lake / ".staging" / entry.fingerprint)
    rejects: list[pl.DataFrame] = []
    statements: list[pl.DataFrame] = []
    money: list[pl.DataFrame] = []
    days: dict[str, int] = defaultdict(int)
    rows_read, refused, newest_on = 0, 0, ""
    warnings: set[str] = set()
    credit_days: set[str] = set()
    ids = pl.DataFrame(schema=_IDENTITY)
    try:
        for chunk in ahead(form.read(file.path, Options(timezone=file.timezone))):
            rows_read += chunk.rows.height + chunk.broken.height
            if form.family == "charges":
                # Before any row is judged, so that a check can hold the rest against it.
                money.append(_money([chunk.rows, chunk.broken]))
            good, rejected = contracts.split(form.family, chunk.rows, chunk.raw, context.currencies)
            good = pseudonymised(good, context.member_key)
            for found in (chunk.broken, rejected):
                if found.height:
                    rejects.append(_without_text(found, refused))
                    refused += found.height
            if refused >= MOST_REFUSED and refused == rows_read:
                why = rejects[0]["reason"][0]
                raise UnreadableFile(f"none of its first {refused:,} rows can be used: {why}")
            warnings |= set(chunk.warnings)
            dated = _by_day(form.family, good, context.zone)
            if form.family == "charges" and good.height:
                statements.append(_statements(dated, good.height))
                credited = dated.filter(is_unallocated_credit())["day"].unique()
                credit_days |= {str(day) for day in credited}
            dated = dated.drop("whole_billed", "whole_effective", strict=False)
            for day, rows in staging.add(dated).items():
                days[day] += rows
            ids = pl.concat([ids, _identities(form.family, good)]).unique()
            newest_on = max(newest_on, _newest_on(form.family, dated, context.zone))
    except UnreadableFile as error:
        staging.remove()
        read = replace(entry, rows_read=rows_read, money=_totals(money))
        return _unreadable(read, str(error))
    if rows_read == 0:
        return _unreadable(entry, "the file has no rows")
    staging.write_days(entry, context)
    staging.remove()
    _write_rejects(entry, rejects, context)
    _write(ids.sort(pl.all()), _ids_path(entry, context.lake))
    if statements:
        _write(_merged(statements), _statements_path(entry, context.lake))
    return replace(
        entry,
        rows_read=rows_read,
        rejected=sum(r.height for r in rejects),
        days=dict(sorted(days.items())),
        newest_on=newest_on,
        credit_days=tuple(sorted(credit_days)),
        money=_totals(money),
        rejected_money=_totals([_money(rejects)]) if rejects else (),
        warnings=tuple(sorted(warnings)),
    )


def _without_text(rejects: pl.DataFrame, before: int) -> pl.DataFrame:
    """Rejects beyond the first MOST_SHOWN of a file keep line and reason, not their text."""
    if before < MOST_SHOWN:
        return rejects
    return rejects.with_columns(row=pl.lit(""))


def _money(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """currency ('' where none is named), billed, effective: sums of what can be read."""
    sums = pl.col("billed", "effective").sum()
    parts = pl.concat([as_text(f.group_by("currency").agg(sums)) for f in frames])
    return parts.group_by(pl.col("currency").str.to_uppercase().fill_null("")).agg(sums)


def _totals(money: list[pl.DataFrame]) -> tuple[dict[str, str], ...]:
    if not money:
        return ()
    total = (
        _money(money).sort("currency").filter((pl.col("billed") != 0) | (pl.col("effective") != 0))
    )
    return tuple({name: str(value) for name, value in row.items()} for row in total.to_dicts())


class _Staging:
    """Rows on their way to one file a day; what is too much for memory waits on the disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: dict[str, list[pl.DataFrame]] = defaultdict(list)
        self.bytes = self.spills = 0
        self.remove()

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, dated: pl.DataFrame) -> dict[str, int]:
        """Take rows with the column day; the number of them by day."""
        # While they are few and fresh: to part all rows of a file at once costs four times as much.
        if not dated["day"].is_sorted():
            # Contracts let no day through that sixteen bits don't hold, and those sort quickest.
            days = dated["day"].to_physical().cast(pl.UInt16)
            dated = dated.rechunk()[np.argsort(days.to_numpy(), kind="stable")]
        rows, at, added = dated.drop("day"), 0, {}
        for size, day in dated["day"].rle().struct.unnest().rows():
            self.held[str(day)].append(rows.slice(at, size))
            added[str(day)], at = size, at + size
        self.bytes += int(dated.estimated_size())
        if self.bytes > HELD_BYTES:
            for day in list(self.held):
                (self.folder / day).mkdir(parents=True, exist_ok=True)
                _write(self._last_of(day), self.folder / day / f"{self.spills:06d}.parquet")
            self.spills, self.bytes = self.spills + 1, 0
        return added

    def _last_of(self, day: str) -> pl.DataFrame:
        """What is held of a day, sorted, and then held no more."""
        # Relaxed, since a column that keeps each text once may be text from some piece on.
        return _in_order(pl.concat(self.held.pop(day), how="vertical_relaxed"))

    def write_days(self, entry: Entry, context: Context) -> None:
        """One Parquet a day; a day of more than HELD_ROWS is sorted in pieces."""
        spilled = {p.name for p in self.folder.iterdir()} if self.folder.is_dir() else set()

        def write(day: str) -> None:
            target = entry.path(context.lake, day)
            waiting = sorted((self.folder / day).glob("*.parquet")) if day in spilled else []
            pieces = [pl.scan_parquet(p, glob=False) for p in waiting]
            pieces += [self._last_of(day).lazy()] if day in self.held else []
            whole = pl.concat(pieces, how="vertical_relaxed")
            if len(pieces) == 1:
                _write(whole.collect(), target)
            elif int(whole.select(pl.len()).collect().item()) <= HELD_ROWS:
                _write(_in_order(whole.collect()), target)
            else:
                _stream(whole, target)

        # A writer waits for polars' own threads, so that two of them don't fill two cores.
        with ThreadPoolExecutor(max_workers=3) as pool:
            list(pool.map(write, sorted(self.held.keys() | spilled)))


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """By team or account, and within it as the file has them."""
    rows = rows.rechunk()  # to gather from many pieces takes five times as long
    order = rows[next(c for c in ("team", "account", "team_id", "line") if c in rows.columns)]
    if order.dtype == pl.String and order.is_sorted():
        return rows
    if not order.dtype.is_integer():
        # Few names on many rows: their ranks are sorted in a quarter of the time.
        order = ranks(order)
    if order.is_sorted():
        return rows
    return rows[np.argsort(order.to_numpy(), kind="stable")]


def _stream(rows: pl.LazyFrame, target: Path) -> None:
    """As _write, for more rows than should be in memory at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    rows.sink_parquet(
        partial, compression="zstd", compression_level=1, statistics=False, row_group_size=ROW_GROUP
    )
    partial.replace(target)


def _write(frame: pl.DataFrame, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    frame.write_parquet(
        partial,
        compression="zstd",
        compression_level=1,
        statistics=False,
        row_group_size=ROW_GROUP,
        metadata=_text_for_readers(tuple(as_text(frame.head(0)).schema.items())),
    )
    partial.replace(target)


@cache
def _text_for_readers(columns: tuple[tuple[str, pl.DataType], ...]) -> dict[str, str]:
    """What a file of these columns says of their types.

    Also said where polars would say that a column keeps each text once: to Parquet both are a
    dictionary of texts and numbers in it, and readers shall see one type in all files.
    """
    example = io.BytesIO()
    pl.DataFrame(schema=dict(columns)).write_parquet(example)
    example.seek(0)
    return {_SCHEMA: pl.read_parquet_metadata(example)[_SCHEMA]}


def _write_rejects(entry: Entry, rejects: list[pl.DataFrame], context: Context) -> None:
    if not rejects:
        return
    target = context.lake / "rejects" / f"{entry.fingerprint}.parquet"
    shown = (
        pl.lit("") if context.member_key else pl.col("row").str.replace_all(_ADDRESS, "(address)")
    )
    _write(pl.concat(rejects).sort("line").with_columns(row=shown), target)


def _by_day(family: str, good: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Rows with the column day; charges become one row per business day they cover."""
    if family == "charges":
        if good["billing_period"].null_count():
            month = pl.col("charge_start").dt.truncate("1mo")
            good = good.with_columns(billing_period=pl.coalesce("billing_period", month))
        good = good.with_columns(whole_billed=pl.col("billed"), whole_effective=pl.col("effective"))
        return daily_parts(good, zone).with_columns(day=pl.col("usage_on"))
    if family in DATED:
        return good.with_columns(day=business_days(good[DATED[family]], zone))
    return good.with_columns(day=pl.lit(UNDATED))


_IDENTITY: dict[str, Any] = {"account": pl.String, "sub_account": pl.String}


def _identities(family: str, good: pl.DataFrame) -> pl.DataFrame:
    """Whose rows these are, in the source's own words: account, sub_account."""
    if family == "charges":
        accounts = texts_of(good["account"])
        if len(accounts) > 1:
            return as_text(good.select("account", "sub_account").unique())
        return as_text(good.select(pl.col("sub_account").unique())).select(
            account=pl.lit(accounts.first(), pl.String), sub_account="sub_account"
        )
    if family in OWNED:
        teams = pl.DataFrame([texts_of(good["team"]).alias("account")])
        return teams.with_columns(sub_account=pl.lit(None, pl.String))
    return pl.DataFrame(schema=_IDENTITY)


def _ids_path(entry: Entry, lake: Path) -> Path:
    return lake / "ids" / f"{entry.fingerprint}.parquet"


def identities(entries: Iterable[Entry], lake: Path) -> pl.DataFrame:
    """source, account, sub_account of everyone who delivered a row, in any order."""
    files: dict[str, list[Path]] = defaultdict(list)
    for entry in entries:
        if entry.family in OWNED and not entry.is_copy and not entry.whole_file_reason:
            files[entry.source].append(_ids_path(entry, lake))
    found = [pl.DataFrame(schema={"source": pl.String} | _IDENTITY)]
    for source, paths in files.items():
        scan = pl.scan_parquet(paths, glob=False).select(*_IDENTITY).unique()
        found.append(scan.select(pl.lit(source).alias("source"), *_IDENTITY).collect())
    return pl.concat(found)


def _newest_on(family: str, dated: pl.DataFrame, zone: str) -> str:
    """Newest business day on which a row begins, '' when there is none.

    A prepaid charge reaches into the future, but only its first day was observed.
    """
    if family not in DATED or dated.height == 0:
        return ""
    days = dated["day"]
    if family == "charges":
        days = business_days(dated[DATED[family]], zone)
    return str(days.max())


_STATEMENT = ["account", "billing_period", "currency"]
STATEMENTS: dict[str, Any] = {
    "account": pl.String, "billing_period": UTC_MICROSECONDS, "currency": pl.String,
    "rows": pl.Int64, "has_effective": pl.Boolean, "billed": AMOUNT, "effective": AMOUNT,
    "starts_on": pl.Date,
}  # fmt: skip


def _statements(dated: pl.DataFrame, charges: int) -> pl.DataFrame:
    """Per (account, billing period, currency): rows, sums, and what they hold.

    Sums are over whole charges, before they are split into days, so that a check can hold the
    facts against them.
    """
    whole = dated
    if dated.height > charges:
        whole = dated.unique("line", keep="first", maintain_order=True)
    return as_text(
        whole.group_by(_STATEMENT).agg(
            rows=pl.len().cast(pl.Int64),
            has_effective=pl.col("effective").is_not_null().any(),
            billed=pl.col("whole_billed").sum(),
            effective=pl.col("whole_effective").sum(),
            starts_on=pl.col("usage_on").min(),
        )
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
    return merged.select(*STATEMENTS).sort(_STATEMENT)


def _statements_path(entry: Entry, lake: Path) -> Path:
    return lake / "statements" / f"{entry.fingerprint}.parquet"


def statements(entries: Iterable[Entry], lake: Path) -> pl.DataFrame:
    """STATEMENTS of all charge files that count once, with fingerprint, source and snapshot.

    A bill of a million accounts has millions of statements, so they are rows and no objects.
    """
    files = [
        e
        for e in entries
        if e.family == "charges" and e.days and not e.is_copy and not e.whole_file_reason
    ]
    origin = ("fingerprint", "source", "snapshot")
    if not files:
        return pl.DataFrame(schema=dict.fromkeys(origin, pl.String) | STATEMENTS)
    paths = [str(_statements_path(e, lake)) for e in files]
    scan = pl.scan_parquet(paths, include_file_paths="path", glob=False)
    rows = scan.with_columns(pl.col("path").cast(pl.Enum(paths)).to_physical()).collect()
    names = pl.DataFrame(
        [[getattr(e, name) for name in origin] for e in files], origin, orient="row"
    )
    named = rows.with_columns(c.gather(rows["path"]) for c in names.get_columns())
    return named.select(*origin, *STATEMENTS)


_NAMES = ("member", "team", "team_id", "account", "sub_account", "source_id")
_ADDRESS = r"[\w.+%-]+@[\w-]+(\.[\w-]+)+"


def pseudonymised(good: pl.DataFrame, key: str) -> pl.DataFrame:
    """Member ids as keyed hashes when a key is set; any e-mail-like id is always hashed."""
    for column in (c for c in _NAMES if c in good.columns):
        names = texts_of(good[column])
        if not (key and column == "member"):
            names = names.filter(names.str.contains("@", literal=True))
        if names.len():
            hashes = {n: pseudonym(n, key, column == "member") for n in names}
            hashed = pl.col(column).cast(pl.String).replace(hashes)
            good = good.with_columns(hashed.cast(good[column].dtype))
    return good


def pseudonym(name: str, key: str, is_member: bool) -> str:
    """What a member (or a team or account) is called from the lake on."""
    if "@" not in name and not (is_member and key):
        return name
    hashed = hashlib.blake2b(name.encode(), key=key.encode()[:64], digest_size=10)
    return f"{'m' if is_member else 'id'}-{hashed.hexdigest()}"


def remove(entry: Entry, lake: Path, keep_catalog: bool = False) -> None:
    """Delete an entry's rows and rejects, and (unless told otherwise) that it was ever there."""
    for day in entry.days:
        entry.path(lake, day).unlink(missing_ok=True)
    (lake / "rejects" / f"{entry.fingerprint}.parquet").unlink(missing_ok=True)
    if not keep_catalog:
        _ids_path(entry, lake).unlink(missing_ok=True)
        _statements_path(entry, lake).unlink(missing_ok=True)
        _catalog(lake, entry.fingerprint).unlink(missing_ok=True)


def forget(entry: Entry, names: list[str], lake: Path) -> None:
    """Take names out of what is kept of an entry whose rows are gone: its ids, and the accounts of
    its statements, whose sums stay."""
    ids, stated = _ids_path(entry, lake), _statements_path(entry, lake)
    if ids.is_file():
        is_named = pl.any_horizontal(pl.col("account", "sub_account").is_in(names))
        _write(pl.read_parquet(ids).filter(~is_named.fill_null(False)), ids)
    if stated.is_file():
        somebody = pl.lit(f"forgotten-{secrets.token_hex(8)}")
        account = pl.when(pl.col("account").is_in(names)).then(somebody).otherwise("account")
        _write(pl.read_parquet(stated).with_columns(account=account), stated)


def prune(lake: Path, entries: Iterable[Entry]) -> int:
    """Delete the files of every other entry, as an older lake version leaves them; their number."""
    kept = {entry.fingerprint for entry in entries}
    stale = [
        path
        for path in lake.rglob("*")
        if path.suffix in (".parquet", ".json") and len(path.stem) == 16 and path.stem not in kept
    ]
    for path in stale:
        path.unlink()
    return len(stale)


def rejects(entry: Entry, lake: Path) -> pl.DataFrame:
    """One entry's rejected rows; of a whole file, line 0 with the money that was read of it."""
    if entry.whole_file_reason:
        read = entry.money or ({},)
        amounts = [[m.get(kind) for m in read] for kind in ("billed", "effective")]
        billed, effective = (
            pl.Series(a, dtype=pl.String).str.to_decimal(scale=18) for a in amounts
        )
        return pl.DataFrame(
            {
                "line": [0] * len(read),
                "reason": [entry.whole_file_reason] * len(read),
                "row": [""] * len(read),
                "currency": [m.get("currency") for m in read],
                "billed": billed.cast(AMOUNT),
                "effective": effective.cast(AMOUNT),
            },
            schema=REJECTED,
        )
    path = lake / "rejects" / f"{entry.fingerprint}.parquet"
    return pl.read_parquet(path) if path.is_file() else pl.DataFrame(schema=REJECTED)


def days_of(entries: Iterable[Entry], family: str) -> Days:
    """Business day -> entries with rows of the family on it, sorted by fingerprint."""
    found: dict[date, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda e: e.fingerprint):
        if entry.family == family and not entry.is_copy and not entry.is_expired:
            for day in entry.days:
                if day != UNDATED:
                    found[date.fromisoformat(day)].append(entry)
    return dict(sorted(found.items()))


def batches(days: Days, rows_per_batch: int = ROWS_AT_ONCE) -> Iterable[Days]:
    """Whole days, grouped so that a batch holds about that many rows (bounded memory)."""
    batch: Days = {}
    rows = 0
    for day, entries in days.items():
        size = sum(e.days[str(day)] for e in entries)
        if batch and rows + size > rows_per_batch:
            yield batch
            batch, rows = {}, 0
        batch[day] = entries
        rows += size
    if batch:
        yield batch


def read_days(
    files: list[tuple[date, Entry]],
    lake: Path,
    columns: list[str] | None = None,
    where: pl.Expr | None = None,
) -> pl.DataFrame:
    """Rows of many day files at once, with usage_on, source, snapshot and fingerprint.

    One scan: opening thousands of small files one by one costs more than reading them. Rows that
    `where` (over the files' columns) leaves out are not decoded.
    """
    paths = [str(entry.path(lake, str(day))) for day, entry in files]
    scan = pl.scan_parquet(paths, include_file_paths="path", glob=False)
    if where is not None:
        scan = scan.filter(where)
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
