"""`cloudbound simulate`: every preset, what it says, and one sentence for what can't be."""

import io
import json
import sys
from pathlib import Path

import polars as pl
import pytest

from pipelines import progress
from pipelines.cli import main
from pipelines.simulate.teams import PRESETS


def cloudbound(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["cloudbound", *arguments])
    main()


def asked(out: Path, **options: str) -> list[str]:
    wanted = {"out": str(out), "teams": "40", "days": "30", "seed": "5", **options}
    return ["simulate", *(part for k, v in wanted.items() for part in (f"--{k}", v))]


@pytest.mark.parametrize("world", sorted(PRESETS))
def test_every_preset(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    world: str,
) -> None:
    out = tmp_path / "landing"
    options = {"world": world, "start": "2024-02-29", "dirt": "1", "intent": "0.7"}
    cloudbound(monkeypatch, *asked(out, **options), "--without", "model", "--without", "quota")
    assert capsys.readouterr().out.startswith("Wrote 40 teams and ")
    marker = json.loads((out / ".simulated.json").read_text())
    assert (marker["world"], marker["start"], marker["dirt"]) == (world, "2024-02-29", 1.0)
    assert (marker["intent"], marker["without"]) == (0.7, ["model", "quota"])
    told = pl.read_parquet(tmp_path / "truth/effects.parquet")
    left = dict(told.select("effect", "value").iter_rows())
    assert (left["quota"], left["model"], left["intent"]) == (1.0, 1.0, 0.7)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"teams": "-4"}, "teams is -4"),
        ({"days": "0"}, "days is 0"),
        ({"days": "many"}, "--days"),
        ({"seed": "-1"}, "seed is -1"),
        ({"rows-per-day": "-9"}, "rows_per_day is -9"),
        ({"start": "2025-02-30"}, "is not a date like"),
        ({"start": "0999-01-01"}, "start is 0999-01-01"),
        ({"dirt": "2"}, "dirt is 2"),
        ({"intent": "-1"}, "intent is -1"),
        ({"world": "utopia"}, "no world 'utopia'"),
        ({"without": "gravity"}, "no effect 'gravity'"),
    ],
)
def test_bad_input_is_one_sentence_and_touches_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, str],
    says: str,
) -> None:
    with pytest.raises(SystemExit) as ended:
        cloudbound(monkeypatch, *asked(tmp_path / "landing", **options))
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert says in said
    assert len(said.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_needs_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(SystemExit) as ended:
        cloudbound(monkeypatch, *asked(tmp_path))
    assert ended.value.code == 2
    assert "is not empty" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    cloudbound(monkeypatch, *asked(tmp_path), "--force")
    assert (tmp_path / "mine.txt").read_text() == "keep"
    assert (tmp_path / "truth/teams.parquet").is_file()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_of_the_requests_shows_rows_per_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "160")
    cloudbound(monkeypatch, *asked(tmp_path / "landing"))
    assert "request rows" in screen.getvalue()
    assert "rows/s" in screen.getvalue()


@pytest.mark.parametrize(
    ("rows", "seconds", "said"),
    [(3_000_000, 2.0, "1.50M rows/s"), (830, 1.0, "1k rows/s"), (0, 0.0, "0k rows/s")],
)
def test_speed_in_words(rows: int, seconds: float, said: str) -> None:
    assert progress.per_second(rows, seconds) == said
