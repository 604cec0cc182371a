"""A page where it is wanted, drawn once for each published file.

Belongs here: whether a page that stands is what a new one would be, and writing in one step.
Does not belong here: what is on the page (page.py, whose charts take seconds to import and draw).
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pipelines import headline
from pipelines.errors import UsageError
from pipelines.settings import Settings

_HERE = Path(__file__).parent
_MARK = "\n<!-- made from {source}, as {content} -->\n"


def write(places: Settings, out: Path, lang: str = "en") -> None:
    """Write the page in one step, as a copy where the same stands there or beside the published file.

    Raises UsageError when nothing is published yet, or `out` is a folder.
    """
    if out.is_dir():
        raise UsageError(f"{out} is a folder: name a file in it, as in {out / 'report.html'}.")
    answer = headline.read(places, None, None)
    source = _source(places, answer, lang)
    text = _standing(out, source) or _standing(places.report, source)
    if text is None:
        from pipelines.report.page import html

        text = html(places, answer, lang)
        text += _mark(source, text)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    partial.write_text(text, "utf-8")
    partial.replace(out)


def _source(places: Settings, answer: dict[str, Any], lang: str) -> str:
    """All that decides a page: the published file, what is said of it now, the language, the code."""
    known = places.published.resolve().stat()
    said = json.dumps([known.st_size, known.st_mtime_ns, answer, lang], default=str)
    code = [path.read_bytes() for path in sorted(_HERE.iterdir()) if path.is_file()]
    return _digest(said.encode(), *code)


def _standing(path: Path, source: str) -> str | None:
    """The page at the path, if it was made from this and nobody has touched it since."""
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError):
        return None
    length = len(_mark(source, ""))
    return text if text[-length:] == _mark(source, text[:-length]) else None


def _mark(source: str, text: str) -> str:
    return _MARK.format(source=source, content=_digest(text.encode()))


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()
