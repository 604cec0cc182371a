"""Dagster's own UI over a small world: the lineage, an asset's page, and a backfill by clicking.

One server and one night for the whole module; everything stays on the loopback.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from pipelines.settings import CHECKOUT
from tests.browser.chromium import chromium
from tests.hand import world

pytestmark = pytest.mark.slow
SLOW = 120_000  # ms; the machine may be busy
expect.set_options(timeout=SLOW)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("ui")
    world.write(data / "landing")
    env = os.environ | {
        "CLOUDBOUND_DATA": str(data),
        "CLOUDBOUND_PARTITIONS_START": "2026-04-01",
        "DAGSTER_HOME": str(CHECKOUT),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    night = [sys.executable, "-m", "pipelines.cli", "nightly"]
    subprocess.run(night, env=env, cwd=CHECKOUT, check=True, capture_output=True, timeout=600)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port)]
    with (data / "dev.log").open("wb") as log:
        running = subprocess.Popen(
            command, env=env, cwd=CHECKOUT, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield _answering(f"http://127.0.0.1:{port}", running, data / "dev.log")
        finally:
            os.killpg(running.pid, signal.SIGINT)
            try:
                running.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait(30)


def _answering(address: str, running: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + 300
    while time.monotonic() < until:
        assert running.poll() is None, log.read_text("utf-8")[-2000:]
        try:
            urllib.request.urlopen(f"{address}/server_info", timeout=5).close()
            return address
        except OSError:
            time.sleep(1)
    raise AssertionError(log.read_text("utf-8")[-2000:])


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser:
        shown = browser.new_context(viewport={"width": 1500, "height": 1400}).new_page()
        shown.set_default_timeout(SLOW)
        yield shown


def ask(server: str, query: str) -> Any:
    body = json.dumps({"query": query}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server}/graphql", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]


def test_the_lineage_shows_the_layers_in_their_order(server: str, page: Page) -> None:
    page.goto(f"{server}/asset-groups")
    for layer in ("1_lake", "2_reference", "3_facts", "4_journey", "5_metric", "7_published"):
        expect(page.get_by_text(layer).first).to_be_visible()


def test_an_asset_page_says_what_where_and_how(server: str, page: Page) -> None:
    page.goto(f"{server}/assets/metric/curve")
    expect(page.get_by_text("Kaplan-Meier curves of every population")).to_be_visible()
    expect(page.get_by_role("link", name="Open sql/metric/curve.sql").first).to_be_visible()
    expect(page.get_by_text("Upper 95 % limit.")).to_be_visible()
    page.get_by_text("[Show Markdown]").first.click()
    chart = page.locator('img[src^="data:image/svg+xml"]')
    expect(chart).to_be_visible()
    assert chart.evaluate("image => image.complete && image.naturalWidth > 100")


def test_checks_are_sentences(server: str, page: Page) -> None:
    page.goto(f"{server}/assets/metric/curve?view=checks")
    page.get_by_text("nobody_is_counted_twice").first.click()
    expect(page.get_by_text("Nobody is counted twice.").first).to_be_visible()


def test_column_lineage_is_served(server: str) -> None:
    found = ask(
        server,
        """{ assetOrError(assetKey: {path: ["metric", "headline"]}) { ... on Asset {
        assetMaterializations(limit: 1) { metadataEntries { label
        ... on TableColumnLineageMetadataEntry { lineage { columnName
        columnDeps { assetKey { path } columnName } } } } } } } }""",
    )
    entries = found["assetOrError"]["assetMaterializations"][0]["metadataEntries"]
    lineage = next(e for e in entries if e["label"] == "dagster/column_lineage")["lineage"]
    share = next(c for c in lineage if c["columnName"] == "share")
    assert {tuple(d["assetKey"]["path"]) for d in share["columnDeps"]} == {("metric", "conversion")}


def test_a_backfill_is_clicked_and_succeeds(server: str, page: Page) -> None:
    page.goto(f"{server}/assets/fact/charge_days?view=partitions")
    page.get_by_role("button", name="Materialize").first.click()
    chosen = page.get_by_role("dialog").get_by_placeholder("ex: ")
    until = time.monotonic() + 120
    while not chosen.is_visible() and time.monotonic() < until:
        # A dialog that is still loading may take a click and fold up again.
        if page.get_by_text("Show all partitions").is_visible():
            page.get_by_text("Show all partitions").click()
        page.wait_for_timeout(1000)
    chosen.fill("[2026-04-20...2026-04-22]")
    chosen.press("Enter")
    expect(page.get_by_text("3 partitions").first).to_be_visible()
    page.get_by_role("button", name="Launch backfill").click()
    until = time.monotonic() + 300
    backfills: list[dict[str, Any]] = []
    while time.monotonic() < until:
        found = ask(
            server,
            "{ partitionBackfillsOrError { ... on PartitionBackfills { results { id status numPartitions } } } }",
        )
        backfills = found["partitionBackfillsOrError"]["results"]
        if backfills and backfills[0]["status"] not in ("REQUESTED", "COMPLETED"):
            break
        time.sleep(2)
    assert [(b["status"], b["numPartitions"]) for b in backfills] == [("COMPLETED_SUCCESS", 3)]
    page.goto(f"{server}/runs/b/{backfills[0]['id']}?tab=runs")
    expect(page.get_by_text("Success").first).to_be_visible()
