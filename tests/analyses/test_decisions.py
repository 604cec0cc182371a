"""Decisions over several nights: kept as they were made, reproduced by their clocks, checked later.

Belongs here: persistence across nights, and what a rules file may not say.
Does not belong here: verdicts of hand-made numbers (tests/sql/metric/decisions).
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from pipelines import decisions, reference, settings
from pipelines.errors import UsageError
from tests import driver
from tests.robustness import small

RULES = settings.CHECKOUT / "data" / "reference" / "decisions.toml"
KEPT = (
    "select run_id, as_of, name, rule, number, ci_low, ci_high, verdict, because "
    "from ops.decision_prints where run_id = '{}' order by all"
)


@pytest.mark.slow
def test_a_decision_is_kept_reproduced_and_checked_after_13_weeks(tmp_path: Path) -> None:
    small.first(tmp_path / "landing")
    first, later = date(2026, 1, 26), date(2026, 4, 27)
    assert later - first == timedelta(weeks=13)
    driver.run(tmp_path, as_of=first, run_id="one")
    decided = driver.query(tmp_path, KEPT.format("one"))
    rules = decisions.parse(RULES.read_bytes(), RULES)
    assert [row[2] for row in decided] == sorted(rules["name"])
    driver.run(tmp_path, as_of=later, run_id="two", now=datetime(2026, 6, 2, tzinfo=UTC))
    assert driver.query(tmp_path, KEPT.format("one")) == decided
    sheet = driver.query(
        tmp_path, "select distinct week_on, as_of, before_as_of from ops.decisions order by 1"
    )
    assert sheet == [(first, first, None), (later, later, first)]
    # The same three clocks give the same decisions, whatever was printed in between.
    driver.run(tmp_path, as_of=first, run_id="again")
    assert [row[1:] for row in driver.query(tmp_path, KEPT.format("again"))] == [
        row[1:] for row in decided
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (('side = "above"', 'side = "over"'), "side must be above or below"),
        (('gates = ["links", "history"]', 'gates = ["moon"]'), "unknown gate 'moon'"),
        (("min_teams = 300", "min_teams = 0"), "min_teams must be at least 1"),
        (("threshold = 0.10", 'threshold = "0.10"'), "threshold is missing or not of its type"),
        (("threshold = 0.10", "thresh = 0.10"), "threshold is missing or not of its type"),
        (('metric = "nsm"', 'metric = "nsm"\nwhy = "x"'), "unknown field why"),
        (('name = "raise_the_5h_limit"', 'name = "cap_quota_maximisers"'), "twice"),
        (("[[rule]]", "[[rules]]"), "may only hold"),
        (("[[rule]]", "[[rule"), "not valid TOML"),
    ],
)
def test_a_rules_file_says_what_is_wrong_with_it(change: tuple[str, str], fault: str) -> None:
    text = RULES.read_text("utf-8").replace(change[0], change[1], 1)
    with pytest.raises(UsageError, match=fault):
        decisions.parse(text.encode(), RULES)


def test_a_changed_rule_has_another_hash_and_a_changed_question_hasnt() -> None:
    text = RULES.read_text("utf-8")
    before = decisions.parse(text.encode(), RULES)["rule"]
    moved = text.replace("threshold = 0.10", "threshold = 0.11")
    asked = text.replace("Is the plan a way", "Isn't the plan a way")
    assert (decisions.parse(moved.encode(), RULES)["rule"] != before).sum() == 1
    assert decisions.parse(asked.encode(), RULES)["rule"].to_list() == before.to_list()


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("assumptions.csv", "name,value,source\niota_low,0.2,x\n", "no value for cloud_margin"),
        (
            "experiments.csv",
            "experiment,arm,planned_share,channel,source\ne,a,0.5,,x\ne,control,0.4,,x\n",
            "planned shares of e must be above 0 and sum to 1",
        ),
    ],
)
def test_reference_files_say_what_is_wrong(
    tmp_path: Path, name: str, text: str, fault: str
) -> None:
    for path in RULES.parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(UsageError, match=fault):
        reference.load(tmp_path)


def test_a_folder_without_them_uses_the_checkouts(tmp_path: Path) -> None:
    for path in RULES.parent.iterdir():
        if path.stem not in ("assumptions", "experiments", "decisions"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    assert reference.load(tmp_path).hash == reference.load(RULES.parent).hash
