"""Where things are: environment variables to paths, and nothing else.

Belongs here: reading CLOUDBOUND_* variables and naming the folders and files of a data folder.
Does not belong here: creating or reading any of them.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.errors import UsageError

CHECKOUT = Path(__file__).resolve().parents[1]
SQL = CHECKOUT / "sql"
_SPARK_MASTER = re.compile(r"spark://[^\s/,]+:\d+(,[^\s/,]+:\d+)*|local(\[(\d+|\*)\])?")


@dataclass(frozen=True)
class Settings:
    """One data folder, its reference files and the engine that rolls days up."""

    data: Path
    reference: Path
    engine: str = "polars"
    partitions_start: str = "2023-01-01"
    member_key: str = field(default="", repr=False)
    keep_days: int = 400
    keep_history_days: int = 90
    alert_command: str = field(default="", repr=False)
    alert_webhook: str = field(default="", repr=False)

    @property
    def landing(self) -> Path:
        return self.data / "landing"

    @property
    def truth(self) -> Path:
        return self.data / "truth"

    @property
    def lake(self) -> Path:
        return self.data / "lake"

    @property
    def build(self) -> Path:
        return self.data / "build.duckdb"

    @property
    def published(self) -> Path:
        return self.data / "cloudbound.duckdb"

    @property
    def report(self) -> Path:
        return self.data / "report.html"

    @property
    def lock(self) -> Path:
        return self.data / "night.lock"

    @property
    def dagster(self) -> Path:
        return self.data / "dagster"


def from_environment() -> Settings:
    """Settings from the CLOUDBOUND_* variables that docs/operations.md lists.

    Raises UsageError when the reference folder has no definition.toml or a value can't be used.
    """
    data = Path(os.environ.get("CLOUDBOUND_DATA") or "data").resolve()
    reference = Path(
        os.environ.get("CLOUDBOUND_REFERENCE") or CHECKOUT / "data" / "reference"
    ).resolve()
    if not (reference / "definition.toml").is_file():
        raise UsageError(
            f"No definition.toml in {reference}: "
            "point CLOUDBOUND_REFERENCE at a folder with the reference files."
        )
    engine = os.environ.get("CLOUDBOUND_ENGINE") or "polars"
    if engine != "polars" and not _SPARK_MASTER.fullmatch(engine):
        raise UsageError(
            f"CLOUDBOUND_ENGINE is {engine!r}: set it to polars, to the master of a Spark cluster "
            "(spark://host:port) or to local[n], which is Spark on this machine."
        )
    return Settings(
        data=data,
        reference=reference,
        engine=engine,
        partitions_start=os.environ.get("CLOUDBOUND_PARTITIONS_START") or "2023-01-01",
        member_key=os.environ.get("CLOUDBOUND_MEMBER_KEY") or "",
        keep_days=_days("CLOUDBOUND_KEEP_DAYS", 400),
        keep_history_days=_days("CLOUDBOUND_KEEP_HISTORY_DAYS", 90),
        alert_command=os.environ.get("CLOUDBOUND_ALERT_COMMAND") or "",
        alert_webhook=os.environ.get("CLOUDBOUND_ALERT_WEBHOOK") or "",
    )


def _days(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{variable} is {text!r}: set it to a number of days from 1 on.")
    return int(text)
