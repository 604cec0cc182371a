"""Taking files in, and what lies in landing without having been taken in."""

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines import hashes, lake, landing
from pipelines.errors import UsageError
from tests.sources.reading import CURRENCIES, lines, write
from tests.sources.test_canonical import REQUEST

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ONE = lines(REQUEST)


def taken(folder: Path, *paths: Path, source: str = "s") -> list[str]:
    return [f.name for f in landing.ingest(folder / "landing", paths, source, NOW)]


def entries(folder: Path) -> dict[str, str]:
    """File name -> why it was rejected whole ('' when it was read)."""
    files = landing.scan(folder / "landing", NOW)
    context = lake.Context(folder / "lake", "Asia/Shanghai", CURRENCIES)
    found = lake.load(files, context, lambda *_: None)
    return {e.name: e.whole_file_reason for e in found}


def test_two_files_of_one_name_are_refused_and_none_is_taken(tmp_path: Path) -> None:
    for name, text in (("a", ONE), ("b", ONE * 2)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "x.jsonl", text)
    with pytest.raises(UsageError, match="Two of the files would both be"):
        taken(tmp_path, tmp_path / "a" / "x.jsonl", tmp_path / "b" / "x.jsonl")
    assert not (tmp_path / "landing").exists()
    assert taken(tmp_path, tmp_path / "a", tmp_path / "b") == ["a/x.jsonl", "b/x.jsonl"]


def test_landing_never_changes_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, "x.jsonl", ONE)
    assert taken(tmp_path, path) == taken(tmp_path, path) == ["x.jsonl"]
    path.write_text(ONE * 2)
    with pytest.raises(UsageError, match="already there with other content"):
        taken(tmp_path, path)
    manifest = (tmp_path / "landing" / "s" / landing.MANIFEST).read_text().splitlines()
    assert len(manifest) == 1


@pytest.mark.parametrize(
    "source", ["", ".", "..", "../s", "a/b", "/etc", ".hidden", "_x", "truth", "a\nb", "a\0b", " a"]
)
def test_names_that_are_no_source(tmp_path: Path, source: str) -> None:
    path = write(tmp_path, "x.jsonl", ONE)
    with pytest.raises(UsageError, match="can't be a source name"):
        taken(tmp_path, path, source=source)
    assert not (tmp_path / "landing").exists()


@pytest.mark.parametrize("name", [".x.jsonl", "_x.jsonl", "manifest.jsonl", "a\nb.jsonl"])
def test_names_that_would_not_be_read_are_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, ONE)
    with pytest.raises(UsageError, match="can't be taken in under its name"):
        taken(tmp_path, path)


def test_a_path_with_dots_lands_under_the_files_own_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = write(tmp_path, "x.jsonl", ONE)
    assert taken(tmp_path, tmp_path / "a" / ".." / path.name) == ["x.jsonl"]
    (tmp_path / "b").mkdir()
    write(tmp_path / "b", "y.jsonl", ONE)
    assert taken(tmp_path, tmp_path / "a" / ".." / "b") == ["b/y.jsonl"]


def test_a_folder_with_a_link_out_of_it_is_refused(tmp_path: Path) -> None:
    secret = write(tmp_path, "secret.jsonl", ONE)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.jsonl").symlink_to(secret)
    with pytest.raises(UsageError, match="a link that leads out"):
        taken(tmp_path, tmp_path / "a")


def test_what_cannot_be_opened_is_rejected_whole_and_the_rest_is_read(tmp_path: Path) -> None:
    """Links out of landing, to folders and to nowhere; folders like files; names of raw bytes."""
    folder = tmp_path / "landing" / "s"
    folder.mkdir(parents=True)
    secret = write(tmp_path, "secret.jsonl", ONE)
    (tmp_path / "secrets").mkdir()
    write(tmp_path / "secrets", "more.jsonl", ONE)
    write(folder, "good.jsonl", ONE)
    (folder / "link.jsonl").symlink_to(secret)
    (folder / "folder").symlink_to(tmp_path / "secrets")
    (folder / "nowhere.jsonl").symlink_to(tmp_path / "none")
    (folder / "loop.jsonl").symlink_to(folder / "loop.jsonl")
    (folder / "inside.jsonl").symlink_to(folder / "good.jsonl")
    (folder / "x.parquet").mkdir()
    os.mkfifo(folder / "pipe.jsonl")
    Path(os.fsdecode(bytes(folder) + b"/\xff\xfe.jsonl")).write_text(ONE)
    found = entries(tmp_path)
    link = "it is a link that leads out of the folder or nowhere: bring the file itself"
    assert found == {
        "good.jsonl": "",
        "inside.jsonl": "",
        "link.jsonl": link,
        "folder": link,
        "nowhere.jsonl": link,
        "loop.jsonl": link,
        "x.parquet": "it is a folder, not a file",
        "\ufffd\ufffd.jsonl": "its name is not UTF-8: give it another",
    }
    kept = (folder / landing.MANIFEST).read_text("utf-8").splitlines()
    assert [json.loads(line)["file"] for line in kept] == ["good.jsonl", "inside.jsonl"]


def test_a_source_folder_that_leads_out_of_landing_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "s").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="leads out of"):
        landing.scan(tmp_path / "landing", NOW)


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"[]", b"7", b"null", b'{"file": "x"}', b"\xff\xfe", b"[" * 100_000,
        b'{"file": "x", "sha256": "", "recorded_at": "soon"}',
        b'{"file": "x", "sha256": "", "recorded_at": 7}',
        b'{"file": "x", "sha256": "", "recorded_at": "2026-01-01T00:00:00Z", "timezone": "Mars"}',
        b'{"file": "x", "sha256": "", "recorded_at": "2026-01-01T00:00:00Z", "timezone": "../x"}',
    ],
)  # fmt: skip
def test_a_broken_manifest_is_one_sentence(tmp_path: Path, line: bytes) -> None:
    folder = tmp_path / "landing" / "s"
    folder.mkdir(parents=True)
    (folder / landing.MANIFEST).write_bytes(b"\n" + line + b"\n")
    with pytest.raises(UsageError, match="line 2 is not a manifest entry"):
        landing.scan(tmp_path / "landing", NOW)


def test_a_manifest_line_about_another_place_is_never_followed(tmp_path: Path) -> None:
    folder = tmp_path / "landing" / "s"
    folder.mkdir(parents=True)
    write(tmp_path, "secret.jsonl", ONE)
    row = {"file": "../../secret.jsonl", "sha256": "0", "recorded_at": "2026-01-01T00:00:00Z"}
    (folder / landing.MANIFEST).write_text(lines(row))
    write(folder, "good.jsonl", ONE)
    assert entries(tmp_path) == {"good.jsonl": ""}


def resting(path: Path) -> Path:
    """The file, once its last change is long enough ago to be told from a second one."""
    while path.stat().st_ctime_ns + hashes.JUST_NOW_NS >= time.time_ns():
        time.sleep(0.05)
    return path


def test_a_file_that_nobody_touched_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "JUST_NOW_NS", 50_000_000)
    taken(tmp_path, write(tmp_path, "x.jsonl", ONE))
    resting(tmp_path / "landing" / "s" / "x.jsonl")
    before = landing.scan(tmp_path / "landing", NOW)
    monkeypatch.setattr(hashes, "sha256_of", lambda path: pytest.fail(f"{path} was read"))
    assert landing.scan(tmp_path / "landing", NOW) == before


@pytest.mark.parametrize("rest", [True, False])
def test_other_bytes_of_the_same_size_and_time_are_seen(
    tmp_path: Path, rest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rest: whether the first bytes lay there for long enough that their hash was remembered."""
    if rest:
        monkeypatch.setattr(hashes, "JUST_NOW_NS", 50_000_000)
    taken(tmp_path, write(tmp_path, "x.jsonl", ONE))
    path = tmp_path / "landing" / "s" / "x.jsonl"
    if rest:
        resting(path)
    (before,) = landing.scan(tmp_path / "landing", NOW)
    assert (path.parent / hashes.REMEMBERED).is_file() == rest
    was = path.stat()
    path.write_text(ONE.replace(ONE[-4], "7"))
    assert path.stat().st_size == was.st_size
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    (after,) = landing.scan(tmp_path / "landing", NOW)
    assert after.sha256 != before.sha256


@pytest.mark.parametrize("text", ["", "[]", '{"x.jsonl": 1}', '{"x.jsonl": ["a"]}'])
def test_hashes_that_cannot_be_read_are_made_anew(tmp_path: Path, text: str) -> None:
    taken(tmp_path, write(tmp_path, "x.jsonl", ONE))
    before = landing.scan(tmp_path / "landing", NOW)
    (tmp_path / "landing" / "s" / hashes.REMEMBERED).write_text(text)
    assert landing.scan(tmp_path / "landing", NOW) == before
