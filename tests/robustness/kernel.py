"""What the kernel says of a folder's files (inotify, Linux): every write, whoever makes it.

Belongs here: counting changes below a folder and calling back at the n-th. Python's audit hook
(killed_night.py) sees Python's own writes just before they happen; this sees those of DuckDB and
polars too, just after.
"""

import ctypes
import os
import select
import struct
import threading
from collections.abc import Callable
from pathlib import Path

_MODIFY, _CLOSE_WRITE, _MOVED_TO, _CREATE, _DELETE, _IS_DIR = 0x2, 0x8, 0x80, 0x100, 0x200, 1 << 30
_EVENT = struct.Struct("iIII")


class Watch:
    """Counts changes below the folder from `with` on; calls `then` once, at number `fatal`."""

    def __init__(self, folder: Path, fatal: int, then: Callable[[], None]) -> None:
        self.seen, self.fatal, self.then = 0, fatal, then
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._handle = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        assert self._handle >= 0
        self._folders: dict[int, Path] = {}
        for path in (folder, *folder.rglob("*")):
            if path.is_dir():
                self._add(path)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._listen)

    def _add(self, folder: Path) -> None:
        mask = _MODIFY | _CLOSE_WRITE | _MOVED_TO | _CREATE | _DELETE
        number = self._libc.inotify_add_watch(self._handle, os.fsencode(folder), mask)
        if number >= 0:
            self._folders[number] = folder

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        os.close(self._handle)

    def _listen(self) -> None:
        while True:
            ready, _, _ = select.select([self._handle], [], [], 0.05)
            if ready:
                self._take(os.read(self._handle, 1 << 16))
            elif self._done.is_set():
                return

    def _take(self, events: bytes) -> None:
        at = 0
        while at < len(events):
            number, mask, _, length = _EVENT.unpack_from(events, at)
            name = events[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0")
            at += _EVENT.size + length
            if mask & _IS_DIR and mask & _CREATE and number in self._folders:
                self._add(self._folders[number] / os.fsdecode(name))
            self.seen += 1
            if self.seen == self.fatal:
                self.then()
