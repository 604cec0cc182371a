"""docs/data-dictionary.md from the headers: python -m pipelines.dictionary writes it.

Belongs here: the turning of documented tables and macros into one page.
Does not belong here: any description (sql/ headers, tables.py, sql/macros headers).
"""

import re
from collections.abc import Iterable, Mapping

from pipelines import sql_assets, tables
from pipelines.settings import CHECKOUT, SQL
from pipelines.sql_assets import Check

PAGE = CHECKOUT / "docs" / "data-dictionary.md"
_SCHEMAS = {
    "metric": "every number, a count over journey.teams",
    "journey": "one row per team, and the steps to it",
    "fact": "daily facts",
    "ref": "reference files and what links say",
    "ops": "how the night went",
}
_MACRO_LINE = re.compile(r"^-- (macro|param|column|example|source)(?: (\w+))?: (.+)$")


def page() -> str:
    """The whole data dictionary as Markdown."""
    known: dict[str, tuple[str, str, Mapping[str, str], tuple[Check, ...]]] = {
        t.name: (t.description, t.grain, t.columns, t.checks) for t in tables.ALL.values()
    }
    known |= {a.name: (a.description, a.grain, a.columns, a.checks) for a in sql_assets.load_all()}
    lines = [
        "# Data dictionary",
        "",
        "Made from the headers by `python -m pipelines.dictionary`; a test is red when it is stale.",
        "The same sentences are COMMENTs in the published file.",
    ]
    for schema, sentence in _SCHEMAS.items():
        lines += ["", f"## {schema}: {sentence}"]
        for name in sorted(n for n in known if n.startswith(f"{schema}.")):
            lines += _table(name, *known[name])
    lines += ["", "## Macros"]
    for path in sorted((SQL / "macros").glob("*.sql")):
        lines += _macro(path.stem, path.read_text("utf-8").splitlines())
    return "\n".join(lines) + "\n"


def _table(
    name: str,
    description: str,
    grain: str,
    columns: Mapping[str, str],
    checks: Iterable[Check],
) -> list[str]:
    lines = ["", f"### {name}", "", description, "", f"Grain: {grain}.", ""]
    lines += ["| column | what it is |", "|---|---|"]
    lines += [f"| `{column}` | {_cell(text)} |" for column, text in columns.items()]
    checks = list(checks)
    if checks:
        lines += ["", "Checks:"]
        lines += [f"* {'stops' if c.stops else 'warns'}: {_cell(c.sentence)}" for c in checks]
    return lines


def _macro(name: str, text: list[str]) -> list[str]:
    lines = ["", f"### {name}", ""]
    for line in text:
        match = _MACRO_LINE.match(line)
        if not match:
            continue
        kind, what, said = match.groups()
        if kind == "macro":
            lines += [said, ""]
        elif kind == "example":
            lines += ["", "```sql", said, "```"]
        elif kind == "source":
            lines += ["", f"Source: {said}."]
        else:
            lines.append(f"* {kind} `{what}`: {said}")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
