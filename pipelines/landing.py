"""The landing folder: files as they arrived, and the manifest that says when.

Belongs here: taking files in, listing what is there, snapshot names, the recorded clock.
Does not belong here: opening a file for its rows (that is sources/) or anything after it.

Layout: landing/<source>/[<snapshot>/...]<file>, and landing/<source>/manifest.jsonl with one
object a line: file (relative to the source folder), sha256, recorded_at, format, timezone.
landing/<source>/.hashes.json spares reading files again that nobody touched (hashes.py).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from pipelines.errors import UsageError
from pipelines.hashes import Hashes, sha256_of

MANIFEST = "manifest.jsonl"
RESERVED = {"truth"}
SUFFIXES = {".csv", ".gz", ".json", ".jsonl", ".ndjson", ".parquet"}


@dataclass(frozen=True)
class LandingFile:
    """One delivered file: where it lies, what it is, when it was recorded.

    expired is the lake's name of a file that is no longer kept (retention.py), else ''; it is
    frozen when facts were made of it.
    """

    source: str
    name: str
    path: Path
    sha256: str
    recorded_at: datetime
    format: str
    timezone: str
    expired: str = ""
    is_frozen: bool = False
    refused: str = ""  # why the file is not even opened

    @property
    def snapshot(self) -> str:
        """First folder below the source, '' for a file that lies in the source folder itself."""
        first, _, rest = self.name.partition("/")
        return first if rest else ""


def _leads_out(path: Path, root: Path) -> bool:
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def _paths_below(root: Path) -> Iterator[Path]:
    """What was delivered below a folder, sorted; hidden ones and manifests are not data.

    Regular files, and what somebody may take for one: links, and empty folders with the suffix
    of a data file. Only the former are ever opened.
    """
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if any(part.startswith((".", "_")) for part in relative.parts):
            continue
        is_file = path.is_symlink() or (path.is_file() and path.name != MANIFEST)
        if is_file or (path.is_dir() and path.suffix in SUFFIXES and not any(path.iterdir())):
            yield path


def _refusal(path: Path, root: Path) -> str:
    """Why a path may not be opened, '' when it may."""
    if path.is_symlink() and (_leads_out(path, root) or not path.is_file()):
        return "it is a link that leads out of the folder or nowhere: bring the file itself"
    if path.is_dir():
        return "it is a folder, not a file"
    return ""


def _manifest(folder: Path) -> list[dict[str, str]]:
    path = folder / MANIFEST
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            datetime.fromisoformat(row["recorded_at"])
            ZoneInfo(row.get("timezone") or "UTC")
            rows.append({"file": row["file"], "sha256": row["sha256"], **row})
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
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
    """Everything delivered to landing, sorted by source and name.

    A file that no manifest knows (it was copied in by hand) is recorded as of `now`, once. A
    file in a source's manifest whose bytes changed since is a new delivery, recorded as of now.
    What can't be opened (a link out of landing, a file without permission) is listed as refused.
    Raises UsageError when a manifest is broken or a source folder leads out of landing.
    """
    found: list[LandingFile] = []
    if not landing.is_dir():
        return found
    for folder in sorted(p for p in landing.iterdir() if p.is_dir()):
        if folder.name in RESERVED or folder.name.startswith((".", "_")):
            continue
        if _leads_out(folder, landing):
            raise UsageError(f"{folder} leads out of {landing}: copy the files, not a link.")
        known = {(row["file"], row["sha256"]): row for row in reversed(_manifest(folder))}
        fresh: list[dict[str, str]] = []
        for path, sha256, refused in _hashed(folder, landing):
            name = path.relative_to(folder).as_posix()
            if refused:
                found.append(_refused(folder, name, path, refused, now))
                continue
            row = known.get((name, sha256))
            if row is None:
                row = _entry(name, sha256, now, "auto", "UTC")
                fresh.append(row)
            found.append(_file(folder, row))
        _append(folder, fresh)
        here = {file.name for file in found if file.source == folder.name}
        gone = [r for r in known.values() if r.get("expired") and r["file"] not in here]
        found += [_file(folder, row) for row in gone]
    return found


def _hashed(folder: Path, landing: Path) -> list[tuple[Path, str, str]]:
    """Each file below a source's folder with its hash, or '' and why it may not be opened."""
    hashes = Hashes(folder)

    def look(path: Path) -> tuple[Path, str, str]:
        try:
            str(path).encode("utf-8")
            refused = _refusal(path, landing)
            return path, "" if refused else hashes.sha256(path), refused
        except UnicodeEncodeError:
            return path, "", "its name is not UTF-8: give it another"
        except OSError as error:
            return path, "", f"it can't be opened ({error.strerror})"

    with ThreadPoolExecutor(max_workers=2) as pool:
        found = list(pool.map(look, _paths_below(folder)))
    hashes.save()
    return found


def _refused(folder: Path, name: str, path: Path, reason: str, now: datetime) -> LandingFile:
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    mark = hashlib.sha256(f"{shown}\0{reason}".encode()).hexdigest()
    recorded_at = now.astimezone(UTC)
    return LandingFile(folder.name, shown, path, mark, recorded_at, "auto", "UTC", refused=reason)


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
        expired=row.get("expired") or "",
        is_frozen=row.get("frozen") == "yes",
    )


def rewrite(file: LandingFile, content: Path | None, form: str) -> None:
    """Put other bytes in a file's place (None: none), recorded when the file was.

    The one exception to "landing never changes a file": somebody asked to be forgotten.
    """
    folder = file.path.parents[file.name.count("/")]
    if content is None:
        file.path.unlink()
    else:
        row = _entry(file.name, sha256_of(content), file.recorded_at, form, "UTC")
        _append(folder, [row])
        content.replace(file.path)
    _keep(folder, [r for r in _manifest(folder) if (r["file"], r["sha256"]) != _key(file)])


def expire(file: LandingFile, fingerprint: str, is_frozen: bool) -> None:
    """Delete a file's bytes; the manifest goes on knowing it by its name in the lake."""
    folder = file.path.parents[file.name.count("/")]
    mark = {"expired": fingerprint, "frozen": "yes" if is_frozen else "no"}
    rows = _manifest(folder)
    _keep(folder, [r | mark if (r["file"], r["sha256"]) == _key(file) else r for r in rows])
    file.path.unlink(missing_ok=True)


def _key(file: LandingFile) -> tuple[str, str]:
    return file.name, file.sha256


def _keep(folder: Path, rows: list[dict[str, str]]) -> None:
    """The manifest holds exactly these rows afterwards."""
    partial = folder / f".{MANIFEST}.partial"
    partial.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    partial.replace(folder / MANIFEST)


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
    plan = planned(landing, paths, source)
    folder = landing / source
    known = {(row["file"], row["sha256"]): row for row in reversed(_manifest(folder))}
    fresh: list[dict[str, str]] = []
    taken: list[LandingFile] = []
    for path, name in plan:
        target, sha256 = folder / name, sha256_of(path)
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


def planned(landing: Path, paths: Iterable[Path], source: str) -> list[tuple[Path, str]]:
    """(file, its name below landing/source) for every file that the paths hold.

    Raises UsageError when the source or a path can't be used, and when two files would end
    under one name.
    """
    is_name = source == Path(source).name and source.isprintable() and source.strip() == source
    if not source or source in RESERVED or not is_name or source[0] in "._":
        raise UsageError(f"{source!r} can't be a source name: use letters, digits, - and _.")
    plan = [found for path in paths for found in destinations(path)]
    if not plan:
        raise UsageError("Nothing to ingest: the given folders hold no files.")
    hashes: dict[str, str] = {}
    for path, name in plan:
        target, sha256 = landing / source / name, sha256_of(path)
        if hashes.setdefault(name, sha256) != sha256:
            raise UsageError(
                f"Two of the files would both be {target}: put {path} into a folder of its own "
                "(its snapshot) and ingest that."
            )
        if target.exists() and sha256_of(target) != sha256:
            raise UsageError(
                f"{target} is already there with other content, and landing never changes a "
                f"file: put {path.name} into a folder of its own (its snapshot) and ingest that."
            )
    return plan


def destinations(path: Path) -> list[tuple[Path, str]]:
    """The files that a path holds, each with its name below the source's folder.

    Raises UsageError for a path that isn't there and for links and folders in a file's place.
    """
    if path.is_file():
        found = [(path, path.name)]
    elif path.is_dir():
        files = list(_paths_below(path))
        for file in files:
            if refused := _refusal(file, path):
                raise UsageError(f"{file} can't be taken in: {refused}.")
        is_set_of_snapshots = all(len(file.relative_to(path).parts) > 1 for file in files)
        prefix = "" if is_set_of_snapshots else f"{path.resolve().name}/"
        found = [(file, prefix + file.relative_to(path).as_posix()) for file in files]
    else:
        raise UsageError(f"There is no file or folder {path}: check the path.")
    for file, name in found:
        if not name.isprintable() or name.startswith((".", "_")) or file.name == MANIFEST:
            raise UsageError(
                f"{str(file)!r} can't be taken in under its name: it must be printable and not "
                f"begin with . or _, nor be {MANIFEST}."
            )
    return found
