"""Tables of the report: a frame in, the HTML of a great-tables table out.

Belongs here: how a column is formatted, by its name. Does not belong here: which columns stand in
a table (sections.py), how a table looks (page.py's style sheet).

A column followed by its *ci_low and *ci_high is shown as one: 19.8% [17.3%, 22.7%].
"""

import re
from collections.abc import Callable

import polars as pl
from great_tables import GT

_PLAIN = re.compile(r"odds_ratio|index|slope|ratio_to|per_cycle|^p_|_p$|median_families|e_value")
_ANY_SIZE = re.compile(r"number|threshold|^change$")
_MONEY = re.compile(r"cny|subsidy|contribution|value_per|cost|margin")
_SHARES = re.compile(
    r"share|^gap$|difference|^drift$|^conversion$|utilisation|^retained$|^itt$|^wald$|^iota|p_star|linked"
)
_LONG_TEXT = re.compile(r'gt_left">(?=[^<>]{36,}</td>)')
_TABLE = re.compile(r"(?s)<table.*</table>")


def table(rows: pl.DataFrame, name: str, say: Callable[[str], str]) -> str:
    """The rows under `name` (unique on the page), columns and the product's values in words."""
    intervals = _intervals(rows)
    value_of = {limit: value for value, *limits in intervals for limit in limits}
    kinds: dict[str, list[str]] = {k: [] for k in ("whole", "plain", "money", "share", "any")}
    for column, kind in rows.schema.items():
        if kind.is_numeric():
            kinds[_kind(value_of.get(column, column), kind)].append(column)
    made = (
        GT(_in_words(rows, say), id=name)
        .fmt_integer(kinds["whole"])
        .fmt_number(kinds["money"], decimals=0)
        .fmt_percent(kinds["share"], decimals=1)
        .fmt_number(kinds["plain"], decimals=3, drop_trailing_zeros=True)
        .fmt_number(kinds["any"], n_sigfig=3)
        .cols_label({c: say(c) for c in rows.columns})
    )
    for interval in intervals:
        made = made.cols_merge(list(interval), pattern="{0}<< [{1}, {2}]>>")
    made = made.sub_missing([c for c in rows.columns if c not in value_of], missing_text="–")
    found = _TABLE.search(made.as_raw_html())
    assert found is not None  # great-tables always writes one
    return _LONG_TEXT.sub('gt_left long">', found[0])


def _kind(column: str, kind: pl.DataType) -> str:
    if kind.is_integer():
        return "whole"
    if _ANY_SIZE.search(column):
        return "any"
    if _PLAIN.search(column):
        return "plain"
    if _MONEY.search(column):
        return "money"
    return "share" if _SHARES.search(column) else "plain"


def _in_words(rows: pl.DataFrame, say: Callable[[str], str]) -> pl.DataFrame:
    """Texts and flags in the page's language, moments to the minute, decimals as numbers."""
    words: list[pl.Expr] = []
    for column, kind in rows.schema.items():
        if kind == pl.String:
            words.append(pl.col(column).map_elements(say, pl.String))
        elif isinstance(kind, pl.List):
            words.append(pl.col(column).list.join(", "))
        elif isinstance(kind, pl.Datetime):
            words.append(pl.col(column).dt.strftime("%Y-%m-%d %H:%M"))
        elif kind == pl.Boolean:
            said = {"true": say("yes"), "false": say("no")}
            words.append(pl.col(column).cast(pl.String).replace(said))
        elif kind.is_decimal():
            words.append(pl.col(column).cast(pl.Float64))
    return rows.with_columns(words)


def _intervals(rows: pl.DataFrame) -> list[tuple[str, str, str]]:
    """(value, low, high) of every interval whose value stands just before its limits."""
    names = rows.columns
    return [
        (names[i - 1], names[i], names[i + 1])
        for i in range(1, len(names) - 1)
        if names[i].endswith("ci_low") and names[i + 1].endswith("ci_high")
    ]
