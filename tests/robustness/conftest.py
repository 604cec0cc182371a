"""One night of the small world for all who need a night behind them and change it in a copy."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import driver
from tests.robustness import small


@pytest.fixture(scope="session")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Puts a data folder after its first night, with landing, lake and print, into a folder."""
    data = tmp_path_factory.mktemp("first-night")
    small.first(data / "landing")
    driver.run(data, run_id="first")

    def put(folder: Path) -> None:
        shutil.copytree(data, folder, symlinks=True, dirs_exist_ok=True)

    return put
