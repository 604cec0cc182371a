"""The tables of docs/formats.md: python -m pipelines.sources.page writes them anew.

Belongs here: the turning of the adapters' mappings and docstrings into Markdown.
Does not belong here: any fact of a format (the adapters), the page's own words (docs/formats.md).
"""

import re
from collections.abc import Iterable

from pipelines.settings import CHECKOUT
from pipelines.sources import canonical, registry
from pipelines.sources.base import Format

PAGE = CHECKOUT / "docs" / "formats.md"
BEGIN, END = "<!-- made by python -m pipelines.sources.page -->", "<!-- end -->"
MADE = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
_FACTS = re.compile(r"Source of the facts: (.+?)\.?\n\n|Source of the facts: (.+?)\.?\Z", re.DOTALL)


def tables() -> str:
    """What each format is made from, then one table a family: column and where it comes from."""
    blocks = ["\n".join(["| format | its facts are from |", "|---|---|", *_sources()])]
    for family in ("requests", "subscriptions", "charges"):
        forms = [f for f in registry.FORMATS if f.family == family]
        blocks.append("\n".join(_family(family, forms)))
    small = [f for f in canonical.FORMATS if f.family not in ("requests", "subscriptions")]
    seen = {form.family: form for form in small}
    rows = [f"| {name} | {_columns(form)} |" for name, form in seen.items()]
    blocks.append("\n".join(["| small table | columns |", "|---|---|", *rows]))
    return "\n\n".join(blocks)


def page(text: str) -> str:
    """The page with its made part as it should be."""
    return MADE.sub(lambda _: f"{BEGIN}\n{tables()}\n{END}", text)


def _sources() -> Iterable[str]:
    for module in registry.MODULES:
        names = dict.fromkeys(form.name.partition("_")[0] if module is canonical else form.name
                              for form in module.FORMATS)  # fmt: skip
        found = _FACTS.search((module.__doc__ or "").strip() + "\n\n")
        said = next(part for part in found.groups() if part) if found else ""
        yield f"| {', '.join(f'`{n}`' for n in names)} | {' '.join(said.split())} |"


def _family(family: str, forms: list[Format]) -> list[str]:
    own = [f for f in forms if not f.name.startswith("canonical")]
    columns = list(dict.fromkeys(name for form in forms for name in form.mapping))
    lines = [
        f"| {family} | {' | '.join(f'`{f.name}`' for f in own)} |",
        "|---" * (1 + len(own)) + "|",
    ]
    return lines + [
        f"| `{column}` | {' | '.join(_cell(form, column) for form in own)} |" for column in columns
    ]


def _cell(form: Format, column: str) -> str:
    _, *names = form.mapping.get(column, ("", ""))
    return ", ".join(names)


def _columns(form: Format) -> str:
    return ", ".join(names[1] for names in form.mapping.values())


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
