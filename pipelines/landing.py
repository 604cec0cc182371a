"""The landing folder: files as they arrived, and the manifest that says when.

Belongs here: taking files in, listing what is there, snapshot names, the recorded clock.
Does not belong here: opening a file for its rows (that is sources/) or anything after it.

Layout: landing/<source>/[<snapshot>/...]<file>, and landing/<source>/manifest.jsonl with one
object a line: file (relative to the source folder), sha256, recorded_at, format, timezone.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.errors import UsageError

MANIFEST = "manifest.jsonl"
RESERVED = {"truth"}
_CHUNK = 1 << 20


@dataclass(frozen=True)
class LandingFile:
    """One delivered file: where it lies, what it is, when it was recorded."""

    source: str
    name: str
    path: Path
    sha256: str
    recorded_at: datetime
    format: str
    timezone: str

    @property
    def snapshot(self) -> str:
        """First folder below the source, '' for a file that lies in the source folder itself."""
        first, _, rest = self.name.partition("/")
        return first if rest else ""


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _refuse_outside(path: Path, root: Path) -> None:
    if not path.resolve().is_relative_to(root.resolve()):
        raise UsageError(f"{path} leads out of {root}: copy the file itself, not a link.")


def _paths_below(root: Path) -> Iterator[Path]:
    """Regular files below a folder, sorted; hidden ones and manifests are not data."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if any(part.startswith((".", "_")) for part in relative.parts):
            continue
        if path.is_file() and path.name != MANIFEST:
            yield path


def _manifest(folder: Path) -> list[dict[str, str]]:
    path = folder / MANIFEST
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            datetime.fromisoformat(row["recorded_at"])
            rows.append({"file": row["file"], "sha256": row["sha256"], **row})
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path} line {number} is not a manifest entry ({error}); "
                "delete the line and ingest the file again."
            ) from None
    return rows


def _append(folder: Path, rows: list[dict[str, str]]) -> None:
    if not rows:
        return
    with (folder / MANIFEST).open("a", encoding="utf-8") as handle:
        handle.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        handle.flush()
        os.fsync(handle.fileno())


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def file_names(landing: Path) -> list[Path]:
    """Paths of the data files in landing, relative to it, without opening any."""
    if not landing.is_dir():
        return []
    folders = [p for p in sorted(landing.iterdir()) if p.is_dir() and p.name not in RESERVED]
    return [path.relative_to(landing) for folder in folders for path in _paths_below(folder)]


def scan(landing: Path, now: datetime) -> list[LandingFile]:
    """Every data file in landing, sorted by source and name.

    A file that no manifest knows (it was copied in by hand) is recorded as of `now`, once. A
    file in a source's manifest whose bytes changed since is a new delivery, recorded as of now.
    Raises UsageError when a manifest is broken or a link leads out of landing.
    """
    found: list[LandingFile] = []
    if not landing.is_dir():
        return found
    for folder in sorted(p for p in landing.iterdir() if p.is_dir()):
        if folder.name in RESERVED or folder.name.startswith((".", "_")):
            continue
        _refuse_outside(folder, landing)
        known = {(row["file"], row["sha256"]): row for row in reversed(_manifest(folder))}
        fresh: list[dict[str, str]] = []
        for path in _paths_below(folder):
            _refuse_outside(path, landing)
            name = path.relative_to(folder).as_posix()
            sha256 = sha256_of(path)
            row = known.get((name, sha256))
            if row is None:
                row = _entry(name, sha256, now, "auto", "UTC")
                fresh.append(row)
            found.append(_file(folder, row))
        _append(folder, fresh)
    return found


def _entry(name: str, sha256: str, now: datetime, form: str, timezone: str) -> dict[str, str]:
    recorded_at = now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "file": name,
        "sha256": sha256,
        "recorded_at": recorded_at,
        "format": form,
        "timezone": timezone,
    }


def _file(folder: Path, row: dict[str, str]) -> LandingFile:
    return LandingFile(
        source=folder.name,
        name=row["file"],
        path=folder / row["file"],
        sha256=row["sha256"],
        recorded_at=_utc(row["recorded_at"]),
        format=row.get("format") or "auto",
        timezone=row.get("timezone") or "UTC",
    )


def ingest(
    landing: Path,
    paths: Iterable[Path],
    source: str,
    now: datetime,
    form: str = "auto",
    timezone: str = "UTC",
) -> list[LandingFile]:
    """Copy files and folders into landing/<source> and record when they came.

    A folder that holds only sub-folders is a set of snapshots: each sub-folder keeps its name.
    A folder with files is one snapshot named like the folder. The same bytes under the same
    name are recorded once; other bytes under a taken name are a UsageError, because landing
    never changes a file: give the re-statement a snapshot folder of its own.
    """
    if not source or source in RESERVED or source != Path(source).name or source[0] in "._":
        raise UsageError(f"{source!r} can't be a source name: use letters, digits, - and _.")
    folder = landing / source
    plan: list[tuple[Path, str]] = []
    for path in paths:
        plan += destinations(path)
    if not plan:
        raise UsageError("Nothing to ingest: the given folders hold no files.")
    hashes = [sha256_of(path) for path, _ in plan]
    for (path, name), sha256 in zip(plan, hashes, strict=True):
        target = folder / name
        if target.exists() and sha256_of(target) != sha256:
            raise UsageError(
                f"{target} is already there with other content, and landing never changes a "
                f"file: put {path.name} into a folder of its own (its snapshot) and ingest that."
            )
    known = {(row["file"], row["sha256"]): row for row in reversed(_manifest(folder))}
    fresh: list[dict[str, str]] = []
    taken: list[LandingFile] = []
    for (path, name), sha256 in zip(plan, hashes, strict=True):
        target = folder / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.partial")
            shutil.copyfile(path, partial)
            partial.replace(target)
        row = known.get((name, sha256))
        if row is None:
            row = _entry(name, sha256, now, form, timezone)
            known[(name, sha256)] = row
            fresh.append(row)
        taken.append(_file(folder, row))
    _append(folder, fresh)
    return taken


def destinations(path: Path) -> list[tuple[Path, str]]:
    if path.is_file():
        return [(path, path.name)]
    if not path.is_dir():
        raise UsageError(f"There is no file or folder {path}: check the path.")
    files = list(_paths_below(path))
    for file in files:
        _refuse_outside(file, path)
    is_set_of_snapshots = all(len(file.relative_to(path).parts) > 1 for file in files)
    prefix = "" if is_set_of_snapshots else f"{path.resolve().name}/"
    return [(file, prefix + file.relative_to(path).as_posix()) for file in files]
