"""SHA-256 of delivered files, remembered as long as the file system says that they are the same.

Belongs here: hashing bytes, and when an earlier hash may be believed.
Does not belong here: what a hash means to landing (landing.py) or to the lake.

A year of bills is tens of gigabytes; reading all of it every night to learn that nothing changed
would cost more than the night. A file is the one that it was while its size, inode and times of
writing and of change are; the last of them can't be set by hand. A file that was changed just
before it was hashed is hashed again, since a second change may carry the same time.
"""

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

REMEMBERED = ".hashes.json"
_CHUNK = 1 << 20
JUST_NOW_NS = 2_000_000_000  # the coarsest clock of a file system that we know


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


class Hashes:
    """The hashes of the files below one folder."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / REMEMBERED
        self._folder = folder
        self._earlier: dict[str, list[int | str]] = {}
        self._now: dict[str, list[int | str]] = {}
        with contextlib.suppress(OSError, ValueError):
            stored = json.loads(self._file.read_bytes())
            self._earlier = stored if isinstance(stored, dict) else {}

    def sha256(self, path: Path) -> str:
        """Of a file below the folder. Raises OSError when it can't be read."""
        name = path.relative_to(self._folder).as_posix()
        status = path.stat()
        mark = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
        known = self._earlier.get(name)
        if isinstance(known, list) and known[:-1] == mark and os.access(path, os.R_OK):
            sha256 = str(known[-1])
        else:
            sha256 = sha256_of(path)
        if status.st_ctime_ns + JUST_NOW_NS < time.time_ns():
            self._now[name] = [*mark, sha256]
        return sha256

    def save(self) -> None:
        """Remember what was asked for since; a folder that can't be written is hashed each time."""
        if self._now == self._earlier:
            return
        partial = self._file.with_suffix(".partial")
        with contextlib.suppress(OSError):
            partial.write_text(json.dumps(self._now, sort_keys=True), "utf-8")
            partial.replace(self._file)
