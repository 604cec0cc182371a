"""Fuzzing of every adapter: python -m tests.sources.fuzz --seconds 600 --seed 1

Belongs here: a corpus of good files of every format and container, the ways to damage them, and
the judgement of an outcome. Does not belong here: files damaged by hand (test_hostile.py).

A file goes the public way: landing, detection (or a format that is asked for), adapter, contract,
lake. The outcome must be an entry whose rows add up, every reject with its reason; an exception,
more than LIMIT seconds for one file, or a process that grows are faults. A fault's file is kept
and its name printed.
"""

import argparse
import copy
import gzip
import hashlib
import io
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from pipelines import lake, reference
from pipelines.landing import LandingFile
from pipelines.settings import CHECKOUT
from pipelines.sources import registry
from tests.sources import (
    test_alibaba,
    test_canonical,
    test_focus,
    test_litellm,
    test_otlp,
    test_stripe_files,
)  # fmt: skip

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LIMIT = 2.0  # seconds of this process for one small file
GROWTH = 256 << 20  # bytes that the process may grow in a run
EXTREMES = (
    "", "0", "-0", "-1", "NaN", "inf", "-inf", "1e400", "1e-400", "9" * 19, "9" * 40, "-" + "9" * 30,
    "0." + "9" * 40, "18446744073709551616", "-9223372036854775809", "1,2,3", "=1+1", "@SUM(A1)",
    "0000-00-00", "9999-12-31T23:59:59.999999999Z", "0001-01-01", "2026-02-30", "2026-13-01",
    "-99999999999", "99999999999999999999", "2026-01-01T25:00:00+99:99", "null", "None", "{}", "[]",
    "true", "\u0000", "\ud83d", "\U0001f600" * 50, "\u202e", "\ufeff", "é" * 500, "a\nb", 'a"b',
    "a,b", "'; drop table x; --", "<script>", "../../etc/passwd", "x" * 70_000,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, 0.1, [], {}, [[]], [None], {"": None},
    [1, "a"], {"data": {}}, {"data": []}, {"object": None}, *EXTREMES,
)  # fmt: skip


def corpus() -> dict[str, bytes]:
    """A few rows of every format in every container, by the name of its file."""
    many = {
        "focus": [test_focus.ROW, test_focus.ROW | {"EffectiveCost": "-0.5", "ServiceName": ""}],
        "requests": [test_canonical.REQUEST, test_canonical.REQUEST | {"status": "failed"}],
        "subscriptions": [test_canonical.EVENT, test_canonical.EVENT | {"event_id": "e9"}],
        "links": [{"source": "s", "source_id": "1", "team_id": "t", "valid_from": "2025-01-01",
                   "valid_to": "", "recorded_at": "2025-01-02", "confidence": "0.5"}],
        "teams": [{"team_id": "t", "region": "cn", "opened_at": "2025-01-01"}],
        "costs": [{"month": "2025-01-01", "channel": "ads", "spend": "5", "currency": "CNY"}],
        "assignments": [{"team": "t", "experiment": "e", "arm": "a", "assigned_at": "2025-01-01"}],
        "litellm": [test_litellm.spend_log(), test_litellm.payload()],
        "otlp": [test_otlp.export(test_otlp.span(1, test_otlp.NEW))],
        "stripe": [test_stripe_files.CREATED],
        "bill": [test_alibaba.bill(test_alibaba.item())],
        "orders": [test_alibaba.orders(test_alibaba.order())],
    }  # fmt: skip
    found: dict[str, bytes] = {}
    for name, rows in many.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        found[f"{name}.jsonl"] = text.encode()
        found[f"{name}.json"] = json.dumps(rows, indent=1).encode()
        found[f"{name}.gz"] = gzip.compress(text.encode(), 1)
        if any(isinstance(v, (dict, list)) for row in rows for v in row.values()):
            continue
        frame = pl.DataFrame(rows, infer_schema_length=None)
        found[f"{name}.csv"] = frame.write_csv().encode()
        parquet = io.BytesIO()
        frame.write_parquet(parquet)
        found[f"{name}.parquet"] = parquet.getvalue()
    return found


def mutated(seeds: list[bytes], pick: random.Random) -> bytes:
    """A file of the corpus after one or a few damages."""
    data = bytearray(pick.choice(seeds))
    for _ in range(pick.choice((1, 1, 1, 2, 3))):
        at = pick.randrange(len(data) + 1)
        end = min(len(data), at + pick.choice((1, 1, 2, 8, 64, 512)))
        match pick.randrange(8):
            case 0:
                data[at:end] = bytes(pick.randrange(256) for _ in range(end - at))
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = data[at:end] * pick.choice((1, 2, 50))
            case 3:
                data[at:at] = pick.choice(EXTREMES).encode("utf-8", "surrogatepass")
            case 4:
                other = pick.choice(seeds)
                cut = pick.randrange(len(other) + 1)
                data[at:end] = other[cut : cut + 256]
            case 5:
                data[at:] = b""
            case 6:
                for _ in range(min(4, len(data))):
                    data[pick.randrange(len(data))] ^= 1 << pick.randrange(8)
            case _:
                data[at:at] = pick.choice((b"\n", b'"', b",", b"\r\n", b"{", b"[", b"\\", b"\x00"))
    return bytes(data)


def edited(texts: list[bytes], pick: random.Random) -> bytes:
    """Rows of the corpus as JSON Lines or CSV with an extreme value in one or two places."""
    rows = [json.loads(line) for line in pick.choice(texts).splitlines()]
    for _ in range(pick.randint(1, 2)):
        place = pick.choice(rows)
        while True:
            key = pick.choice(list(place) if isinstance(place, dict) else range(len(place)))
            inside = place[key]
            if not isinstance(inside, (dict, list)) or not inside or pick.random() < 0.1:
                break
            place = inside
        place[key] = copy.deepcopy(pick.choice(VALUES))
    is_flat = not any(isinstance(v, (dict, list)) for row in rows for v in row.values())
    if is_flat and pick.random() < 0.5:
        names = list(rows[0])
        table = [[_text(row.get(name, "")) for name in names] for row in rows]
        return pl.DataFrame(table, schema=names, orient="row").write_csv().encode()
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def generated(pick: random.Random) -> bytes:
    """Rows under a format's own column names with extreme values, as JSON, CSV or Parquet."""
    form = pick.choice(registry.FORMATS)
    names = sorted({n.partition(".")[0] for _, *raw in form.mapping.values() for n in raw})
    rows = [
        {name: pick.choice(VALUES) for name in names if pick.random() < 0.9}
        for _ in range(pick.randint(1, 5))
    ]
    match pick.randrange(3):
        case 0:
            return "".join(json.dumps(row) + "\n" for row in rows).encode()
        case 1:
            texts = [[_text(row.get(name)) for name in names] for row in rows]
            frame = pl.DataFrame(texts, schema=names, orient="row")
            return frame.write_csv().encode()
        case _:
            return _parquet(names, pick)


def _text(value: Any) -> str:
    said = json.dumps(value) if isinstance(value, (dict, list)) else str(value)
    return said.encode("utf-8", "replace").decode()


def _parquet(names: list[str], pick: random.Random) -> bytes:
    """Columns of types that nobody expects there."""
    kinds: tuple[pl.Series, ...] = (
        pl.Series([1, None]), pl.Series([2**63 - 1, -(2**63)]), pl.Series([1.5, float("nan")]),
        pl.Series([float("inf"), -1e308]), pl.Series([True, None]), pl.Series([b"\xff", b""]),
        pl.Series(["a", None]), pl.Series([[1], None]), pl.Series([{"a": 1}, None]),
        pl.Series([datetime(1, 1, 1), datetime(9999, 12, 31)]), pl.Series([NOW, None]),
        pl.Series([None, None]), pl.Series(["9" * 40, "1e400"]), pl.Series([2**64 - 1, 0], dtype=pl.UInt64),
        pl.Series([NOW.date(), None]), pl.Series([NOW.time(), None]), pl.Series(["x", "y"], dtype=pl.Categorical),
        pl.Series([NOW - datetime(2020, 1, 1, tzinfo=UTC), None]),
    )  # fmt: skip
    frame = pl.DataFrame([pick.choice(kinds).alias(name) for name in names])
    out = io.BytesIO()
    frame.write_parquet(out)
    return out.getvalue()


class Fuzzer:
    """Files by number from a seed, each judged; the same seed is the same files."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.pick = folder, random.Random(seed)
        files = corpus()
        self.seeds = list(files.values())
        self.texts = [data for name, data in files.items() if name.endswith(".jsonl")]
        known = reference.load(CHECKOUT / "data" / "reference")
        self.context = lake.Context(folder / "lake", "Asia/Shanghai", known.currencies)
        self.outcomes: Counter[str] = Counter()
        self.formats: Counter[str] = Counter()
        self.slowest = 0.0
        self.forms = sorted({form.name for form in registry.FORMATS})

    def one(self) -> None:
        """Judge one more file. Raises whatever the product raised, or AssertionError."""
        way = self.pick.random()
        if way < 0.4:
            data = mutated(self.seeds, self.pick)
        else:
            data = edited(self.texts, self.pick) if way < 0.8 else generated(self.pick)
        form = self.pick.choice(self.forms) if self.pick.random() < 0.15 else "auto"
        zone = self.pick.choice(("UTC", "Asia/Shanghai", "Europe/Berlin"))
        path = self.folder / "file"
        path.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        file = LandingFile("s", "x/file", path, sha256, NOW, form, zone)
        started = time.process_time()
        (entry,) = lake.load([file], self.context, lambda *_: None)
        seconds = time.process_time() - started
        self.slowest = max(self.slowest, seconds)
        rejects = lake.rejects(entry, self.context.lake)
        assert rejects["reason"].null_count() == 0 and (rejects["reason"] != "").all()
        if entry.whole_file_reason:
            self.outcomes["rejected whole"] += 1
        else:
            assert entry.rejected == rejects.height and entry.rows_read > 0
            if entry.family != "charges":
                assert entry.rows_read == entry.rejected + sum(entry.days.values())
            else:
                rows = int(lake.statements([entry], self.context.lake)["rows"].sum())
                assert entry.rows_read == entry.rejected + rows
            self.outcomes["some rows accepted" if entry.days else "all rows rejected"] += 1
            self.formats[entry.format] += 1
        assert seconds < LIMIT, f"{seconds:.1f} s for {len(data)} bytes"


def run(folder: Path, seed: int, seconds: float, count: int) -> Fuzzer:
    """Judge files until the time or the count is over. A fault names the file that it kept."""
    fuzzer = Fuzzer(folder, seed)
    ends = time.monotonic() + seconds
    for _ in range(200):
        fuzzer.one()  # the libraries' own pools and caches
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    done = 200
    while done < count and time.monotonic() < ends:
        try:
            fuzzer.one()
        except BaseException as fault:
            kept = Path(tempfile.gettempdir()) / f"cloudbound-fuzz-{seed}-{done}"
            shutil.copyfile(folder / "file", kept)
            fault.add_note(f"file {done} of seed {seed}, kept as {kept}")
            raise
        done += 1
        if done % 500 == 0:
            shutil.rmtree(folder / "lake", ignore_errors=True)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - before
    assert grown < GROWTH, f"the process grew by {grown >> 20} MiB"
    return fuzzer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--count", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        done = run(Path(folder), given.seed, given.seconds, given.count)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    parts = ", ".join(f"{n:,} {what}" for what, n in sorted(done.outcomes.items()))
    print(
        f"{done.outcomes.total():,} files: {parts}; slowest {done.slowest:.2f} s, peak {peak} MiB"
    )
    sys.exit(0)


if __name__ == "__main__":
    main()
