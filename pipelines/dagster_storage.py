"""Dagster's own history under $CLOUDBOUND_DATA/dagster, whoever starts it: CLI, UI or daemon.

Belongs here: the classes that dagster.yaml names, each Dagster's default with its folder taken
from the settings. Does not belong here: anything else of Dagster.
dagster.yaml can read an environment variable, but can't append a folder to it or default it.
"""

import fcntl
import os
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from dagster._core.events import ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.event import listen
from sqlalchemy.pool import QueuePool

from pipelines import settings

_BATCH = "1000"
_BUSY_SECONDS = 60
_OPEN_FILES = 8


def _folder() -> str:
    return str(settings.from_environment().dagster)


@contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    """Processes that start together make a database one after the other.

    Dagster looks for its schema, makes it and stamps its revision in three steps; two servers on
    an empty folder stamp it twice, and no code location loads again.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _without_waiting_for_the_disk(connection: Any, _record: Any) -> None:
    """A commit goes into the log without a sync: a power cut may lose the last events of a run's
    story, never the file's integrity, and no number is in it."""
    connection.execute("pragma synchronous = normal")


class BatchedEventLog(SqliteEventLogStorage):
    """Dagster's event log, with a batch of asset events as one transaction on an open connection.

    A run over a year of days logs thousands of partition events. One by one, each with an engine
    of its own, they take Dagster 15 ms apiece; together they take a second. Drop this when
    Dagster's SQLite event log overrides store_event_batch itself and keeps its connections.
    """

    def __init__(self, base_dir: str) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._tables: set[str] = set()
        super().__init__(base_dir)

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        with _one_at_a_time(Path(self._base_dir) / "schema.lock"):
            super()._initdb(engine, for_index_shard)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(self.conn_string_for_shard(shard))
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as con, con.begin():
                yield con

    def _engine(self, url: str) -> Engine:
        """The engine of one of the files last used; a webserver looks into many."""
        if url not in self._engines:
            engine = create_engine(
                url, poolclass=QueuePool, pool_size=1, connect_args={"timeout": _BUSY_SECONDS}
            )
            listen(engine, "connect", _without_waiting_for_the_disk)
            self._engines[url] = engine
        self._engines.move_to_end(url)
        while len(self._engines) > _OPEN_FILES:
            self._engines.popitem(last=False)[1].dispose()
        return self._engines[url]

    def has_table(self, table_name: str) -> bool:
        """Found once, a table stays: Dagster asks at every check, on a new connection each time."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        by_run: dict[str, list[EventLogEntry]] = defaultdict(list)
        for event in events:
            if event.is_dagster_event and event.dagster_event_type in ASSET_EVENTS:
                by_run[event.run_id].append(event)
            else:
                self.store_event(event)
        for run_id, batch in by_run.items():
            inserts = [self.prepare_insert_event(event) for event in batch]
            with self.run_connection(run_id) as con:
                for insert in inserts:
                    con.execute(insert)
            with self.index_transaction() as con:
                results = [con.execute(i).inserted_primary_key for i in inserts]
                ids = [key[0] for key in results if key is not None]
                self._store_asset_event_tags(con, batch, ids)
                # The asset's own row keeps only the newest event of a kind.
                newest = {
                    (event.dagster_event_type, event.get_dagster_event().asset_key): (
                        event,
                        id_,
                    )
                    for event, id_ in zip(batch, ids, strict=True)
                }
                for event, id_ in newest.values():
                    self._store_asset_event(con, event, id_)


class DataFolderStorage(DagsterSqliteStorage):
    """Runs, events and schedules."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", _BATCH)
        with _one_at_a_time(Path(base_dir) / "schema.lock"):
            super().__init__(base_dir, inst_data=inst_data)
        self._event_log_storage = BatchedEventLog(os.path.join(base_dir, "history", "runs"))

    @classmethod
    def config_type(cls) -> Any:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        return cls(base_dir=_folder(), inst_data=inst_data)


class DataFolderLogs(LocalComputeLogManager):
    """What steps print."""

    @classmethod
    def config_type(cls) -> Any:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        return cls(base_dir=_folder(), inst_data=inst_data)


class DataFolderArtifacts(LocalArtifactStorage):
    """Files that Dagster keeps beside its history."""

    @classmethod
    def config_type(cls) -> Any:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        return cls(base_dir=_folder(), inst_data=inst_data)
