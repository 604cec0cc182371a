"""What a file would become, without taking it in: `cloudbound ingest --dry-run`.

Belongs here: reading a file as a night would and counting what is read, mapped, warned and
rejected, and the tables that show it. Does not belong here: the rules (sources/, contracts.py,
rollup/charges.py), the taking in (ingestion.py). Nothing is written.
"""

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from pipelines import contracts, landing, reference
from pipelines.errors import UsageError
from pipelines.ingestion import check_arguments
from pipelines.lake import DATED
from pipelines.reference import Reference
from pipelines.rollup import charges
from pipelines.settings import Settings
from pipelines.sources import registry
from pipelines.sources.base import Chunk, Format, Options, UnreadableFile, as_text
from pipelines.sources.tables import columns_of, head_of

SHOWN_REASONS = 20
Facts = dict[str, Any]


def inspect(
    places: Settings, paths: Sequence[Path], source: str | None, form: str, timezone: str
) -> list[Facts]:
    """One answer a file; see _inspected for its keys.

    Raises UsageError for a missing path, a bad source, format or zone.
    """
    check_arguments(form, timezone)
    known = reference.load(places.reference)
    if source is not None:
        plan = landing.planned(places.landing, paths, source)
    else:
        plan = [(path, name) for given in paths for path, name in landing.destinations(given)]
    if not plan:
        raise UsageError("Nothing to look at: the given folders hold no files.")
    answers = []
    for path, name in plan:
        lands_as = f"{source}/{name}" if source is not None else None
        answers.append(
            {"file": str(path), "lands_as": lands_as} | _inspected(path, form, timezone, known)
        )
    return answers


def _inspected(path: Path, form: str, timezone: str, known: Reference) -> Facts:
    """format, family, because, rejected_whole (why, or null), rows_read, accepted, rejected,
    first_on and last_on (days in UTC), columns (column, from, filled, example), unmapped (columns of the file that no canonical
    column comes from), families (family,
    rows, currency, cost), unknown_services, warnings, rejects (reason, rows, first_line).
    """
    found = (registry.named(form), "you said so") if form != "auto" else registry.detect(path)
    if found is None:
        return _empty(None, "") | {"rejected_whole": registry.why_not(path)}
    adapter, because = found
    tally = _Tally(adapter, known)
    try:
        for chunk in adapter.read(path, Options(timezone=timezone)):
            tally.add(chunk)
    except UnreadableFile as error:
        return _empty(adapter, because) | {"rejected_whole": str(error)}
    if tally.read == 0:
        return _empty(adapter, because) | {"rejected_whole": "the file has no rows"}
    return _empty(adapter, because) | tally.facts() | {"unmapped": _unmapped(path, adapter)}


def _empty(adapter: Format | None, because: str) -> Facts:
    return {
        "format": adapter.name if adapter else None,
        "family": adapter.family if adapter else None,
        "because": because, "rejected_whole": None, "rows_read": 0, "accepted": 0, "rejected": 0,
        "first_on": None, "last_on": None, "columns": [], "unmapped": [],
        "families": [], "unknown_services": [], "warnings": [], "rejects": [],
    }  # fmt: skip


def _unmapped(path: Path, adapter: Format) -> list[str]:
    """Columns of a flat file that no canonical column comes from."""
    shown = columns_of(path, head_of(path))
    used = {raw.partition(".")[0] for _, *names in adapter.mapping.values() for raw in names}
    return [name for name in shown if name not in used] if used & set(shown) else []


class _Tally:
    """Counts over the chunks of one file; memory doesn't grow with the file."""

    def __init__(self, adapter: Format, known: Reference) -> None:
        self.adapter, self.known = adapter, known
        self.read = self.accepted = 0
        self.reasons: Counter[str] = Counter()
        self.first_line: dict[str, int] = {}
        self.warnings: set[str] = set()
        self.filled: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.days: list[date] = []
        self.kinds: list[pl.DataFrame] = []

    def add(self, chunk: Chunk) -> None:
        good, bad = contracts.split(
            self.adapter.family, as_text(chunk.rows), chunk.raw, self.known.currencies
        )
        bad = pl.concat([bad, chunk.broken], how="diagonal")
        self.read += chunk.rows.height + chunk.broken.height
        self.accepted += good.height
        self.warnings |= set(chunk.warnings)
        for reason, rows, line in (
            bad.group_by("reason", maintain_order=True)
            .agg(pl.len(), pl.col("line").min())
            .iter_rows()
        ):
            self.reasons[reason] += rows
            self.first_line.setdefault(reason, line)
        for name in self.adapter.mapping:
            if name in good.columns and (filled := good.height - good[name].null_count()):
                self.filled[name] += filled
                self.examples.setdefault(name, _plain(good[name].drop_nulls()[0]))
        if good.height and (at := DATED.get(self.adapter.family, "occurred_at")) in good.columns:
            first_and_last = good.select(first=pl.col(at).min(), last=pl.col(at).max()).row(0)
            self.days += [moment.date() for moment in first_and_last if moment is not None]
        if self.adapter.family == "charges" and good.height:
            self.kinds.append(_kinds(good, self.known))

    def facts(self) -> Facts:
        mapping = self.adapter.mapping.items()
        money = pl.concat(self.kinds) if self.kinds else None
        return {
            "rows_read": self.read,
            "accepted": self.accepted,
            "rejected": self.read - self.accepted,
            "first_on": min(self.days, default=None),
            "last_on": max(self.days, default=None),
            "columns": [
                {
                    "column": column,
                    "from": list(names),
                    "filled": self.filled[column],
                    "example": self.examples.get(column),
                }
                for column, (_, *names) in mapping
            ],
            "warnings": sorted(self.warnings),
            "rejects": [
                {"reason": reason, "rows": rows, "first_line": self.first_line[reason]}
                for reason, rows in self.reasons.most_common(SHOWN_REASONS)
            ],
            **(_money(money) if money is not None else {}),
        }


def _kinds(good: pl.DataFrame, known: Reference) -> pl.DataFrame:
    """Rows and cost by family, provider, service, category and currency."""
    dated = good.with_columns(usage_on=pl.col("charge_start").dt.date())
    zero = pl.lit(Decimal(0), contracts.AMOUNT)
    return (
        charges.with_family(dated, known)
        .group_by("family", "provider", "service", "service_category", "currency")
        .agg(
            rows=pl.len(),
            cost=pl.coalesce("effective", "billed", zero).sum(),
        )
    )


def _money(kinds: pl.DataFrame) -> Facts:
    def by(*keys: str, **sums: pl.Expr) -> list[Facts]:
        return kinds.group_by(keys).agg(**sums).sort(keys, nulls_last=True).to_dicts()

    cost = {"rows": pl.col("rows").sum(), "cost": pl.col("cost").sum()}
    families = by("family", "currency", **cost)
    kinds = kinds.filter(pl.col("family") == charges.UNKNOWN_FAMILY)
    unknown = by("provider", "service", "service_category", "currency", **cost)
    unknown.sort(key=lambda u: -abs(u["cost"]))
    return {"families": families, "unknown_services": unknown}


def _printable(text: str) -> str:
    """No control character reaches the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def _plain(value: Any) -> str:
    """A value as a short line."""
    said = f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
    shown = _printable(said)
    return shown if len(shown) <= 32 else shown[:31] + "…"


def text(answers: Iterable[Facts], width: int) -> str:
    """The answers as tables."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, highlight=False, emoji=False)
    for answer in answers:
        _show(console, answer)
    assert isinstance(console.file, io.StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    return "\n".join(lines).rstrip() + "\n\nNothing was taken in."


def _show(console: Any, answer: Facts) -> None:
    def say(sentence: str) -> None:
        console.print(_printable(sentence), markup=False, soft_wrap=True)

    if answer["format"] is None:
        say(f"{answer['file']}: would be rejected whole: {answer['rejected_whole']}\n")
        return
    say(f"{answer['file']}: looks like {answer['format']}, because {answer['because']}")
    if answer["lands_as"]:
        say(f"lands as {answer['lands_as']}")
    if answer["rejected_whole"]:
        say(f"would be rejected whole: {answer['rejected_whole']}\n")
        return
    span = f", {answer['first_on']} to {answer['last_on']}" if answer["first_on"] else ""
    say(
        f"{answer['family']}: {answer['rows_read']} rows read, {answer['accepted']} accepted, "
        f"{answer['rejected']} rejected{span}"
    )
    _table(console, "mapped", ("column", "from", "filled", "example"), [
        (c["column"], ", ".join(c["from"]), c["filled"], c["example"] or "")
        for c in answer["columns"]
    ])  # fmt: skip
    if answer["unmapped"]:
        say(f"not mapped: {', '.join(answer['unmapped'])}")
    _table(console, "families", ("family", "rows", "cost", "currency"), [
        (f["family"], f["rows"], f"{f['cost'].normalize():f}", f["currency"])
        for f in answer["families"]
    ])  # fmt: skip
    _table(console, "unknown services: they count as other", ("provider", "service", "category",
        "rows", "cost", "currency"), [
        (u["provider"] or "", u["service"] or "", u["service_category"] or "", u["rows"],
         f"{u['cost'].normalize():f}", u["currency"])
        for u in answer["unknown_services"][:SHOWN_REASONS]
    ])  # fmt: skip
    _table(console, "warned", ("what",), [(w,) for w in answer["warnings"]])
    _table(console, "rejected", ("rows", "first at line", "why"), [
        (r["rows"], r["first_line"], r["reason"]) for r in answer["rejects"]
    ])  # fmt: skip
    console.print()


def _table(console: Any, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns):
        is_number = isinstance(rows[0][number], int)
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        # Text, not markup: a name in a file is no style.
        table.add_row(*(Text(_printable(str(v))) for v in row))
    console.print(table)
