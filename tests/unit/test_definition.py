"""The versioned definition: what it reads, what it refuses, and when its hash changes."""

from decimal import Decimal
from pathlib import Path

import pytest

from pipelines import definition, settings
from pipelines.errors import UsageError

FILE = settings.CHECKOUT / "data" / "reference" / "definition.toml"


def test_the_file_in_git_is_the_default_definition() -> None:
    loaded = definition.load(FILE)
    assert loaded == definition.Definition(version=loaded.version)


def test_the_hash_follows_the_fields_and_not_the_label() -> None:
    first = definition.load(FILE)
    assert first.with_fields(version="another").hash == first.hash
    assert first.with_fields(active_day_requests=5).hash != first.hash
    assert first.with_fields(qualifying_floor_cny=Decimal("30.0")).hash == first.hash


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("active_days = 5", "active_days = -5"), "habit.active_days"),
        (("active_days = 5", 'active_days = "5"'), "habit.active_days"),
        (("floor_cny = 30.00", "floor_cny = true"), "workload.floor_cny"),
        (('zone = "Asia/Shanghai"', 'zone = "Mars/Base"'), "zone"),
        (("lag_days = 3", "lag = 3"), "clock.lag"),
        (("headline_horizon = 90", "headline_horizon = 91"), "headline_horizon"),
        (("[clock]", "[clock"), "not valid TOML"),
        (('version = "2026-11-24"', ""), "version"),
    ],
)
def test_a_bad_field_is_named(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    path = tmp_path / "definition.toml"
    text = FILE.read_text("utf-8")
    assert change[0] in text
    path.write_text(text.replace(*change), "utf-8")
    with pytest.raises(UsageError, match=said.replace(".", r"\.")) as caught:
        definition.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Can't read the definition"):
        definition.load(tmp_path / "nowhere.toml")
