"""A standalone Spark cluster on loopback: one master, two workers, ended with the `with` block.

Belongs here: starting and ending pyspark's own bundled classes. Does not belong here: any claim.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PACKAGE = "org.apache.spark.deploy"
_PATIENCE_SECONDS = 120.0


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The master's URL; logs and work lie in `folder`, settings in `folder`/conf."""
    import pyspark

    home = Path(pyspark.__file__).parent
    (folder / "conf").mkdir(parents=True)
    (folder / "conf" / "spark-defaults.conf").write_text(
        "spark.driver.host 127.0.0.1\n"
        "spark.driver.bindAddress 127.0.0.1\n"
        "spark.executor.memory 512m\n"
        f"spark.local.dir {folder}\n",
        "utf-8",
    )
    environment = os.environ | {
        "SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_CONF_DIR": str(folder / "conf"), "SPARK_USER": "cloudbound",
    }  # fmt: skip
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, main: str, *arguments: str) -> Path:
        log = folder / f"{name}.log"
        with log.open("wb") as out:
            command = [str(home / "bin" / "spark-class"), f"{_PACKAGE}.{main}", *arguments]
            process = subprocess.Popen(
                command, env=environment, stdout=out, stderr=out, start_new_session=True
            )
        started.append(process)
        return log

    try:
        where = ("--host", "127.0.0.1", "--port", "0", "--webui-port", "0")
        master = start("master", "master.Master", *where)
        url = _wait_for(master, r"Starting Spark master at (spark://127\.0\.0\.1:\d+)")
        for number in ("1", "2"):
            room = ("--cores", "1", "--memory", "1g", "--work-dir", str(folder / number))
            start(f"worker-{number}", "worker.Worker", *where, *room, url)
        for number in ("1", "2"):
            _wait_for(folder / f"worker-{number}.log", r"Successfully registered with master")
        yield url
    finally:
        for process in reversed(started):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait_for(log: Path, pattern: str) -> str:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = re.search(pattern, log.read_text("utf-8", errors="replace"))
        if found:
            return found[found.re.groups]
        time.sleep(0.1)
    raise TimeoutError(f"{log} never said {pattern}: {log.read_text('utf-8')[-2000:]}")
