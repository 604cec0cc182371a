"""The statistical macros on edges worked out by hand, against exact fractions, in a copied file.

Macros that read a published table of ours (conversion) are tested with that table. Published
results in bulk are in test_oracles.py; the few written out here stand where those are absent.
"""

import math
import random
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest

MACROS = Path(__file__).parents[2] / "sql" / "macros"
Z = 1.959963984540054

SCALAR = {
    "confidence_sequence_high",
    "confidence_sequence_low",
    "e_value",
    "newcombe_high",
    "newcombe_low",
    "wilson_high",
    "wilson_low",
}
TABLE = {"benjamini_hochberg", "cumulative_incidence", "kaplan_meier", "mantel_haenszel"}

# Freireich et al. 1963, 6-MP arm, weeks in remission: Kleinbaum and Klein, Survival Analysis, ch. 2
FREIREICH_6MP_RELAPSED = [6, 6, 6, 7, 10, 13, 16, 22, 23]
FREIREICH_6MP_CENSORED = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
FREIREICH_6MP_TABLE = [
    (6, 21, 3, 1, 0.857),
    (7, 17, 1, 0, 0.807),
    (9, 16, 0, 1, 0.807),
    (10, 15, 1, 1, 0.753),
    (11, 13, 0, 1, 0.753),
    (13, 12, 1, 0, 0.690),
    (16, 11, 1, 0, 0.627),
    (17, 10, 0, 1, 0.627),
    (19, 9, 0, 1, 0.627),
    (20, 8, 0, 1, 0.627),
    (22, 7, 1, 0, 0.538),
    (23, 6, 1, 0, 0.448),
    (25, 5, 0, 1, 0.448),
    (32, 4, 0, 2, 0.448),
    (34, 2, 0, 1, 0.448),
    (35, 1, 0, 1, 0.448),
]

# Bickel, Hammel and O'Connell 1975: admitted and rejected men, then women, of six departments
BERKELEY_1973 = {
    "A": (512, 313, 89, 19),
    "B": (353, 207, 17, 8),
    "C": (120, 205, 202, 391),
    "D": (138, 279, 131, 244),
    "E": (53, 138, 94, 299),
    "F": (22, 351, 24, 317),
}

Row = tuple[Any, ...]


def create_macros(con: duckdb.DuckDBPyConnection) -> None:
    for name in sorted(SCALAR | TABLE):
        con.execute((MACROS / f"{name}.sql").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        create_macros(connection)
        yield connection


@pytest.fixture
def own_con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        create_macros(connection)
        yield connection


def fill(
    con: duckdb.DuckDBPyConnection, name: str, columns: str, rows: Sequence[Sequence[Any]]
) -> None:
    con.execute(f"create or replace table {name} ({columns})")
    if rows:
        values = ", ".join("unnest(?)" for _ in rows[0])
        con.execute(
            f"insert into {name} select {values}",
            [list(column) for column in zip(*rows, strict=True)],
        )


def kaplan_meier(
    con: duckdb.DuckDBPyConnection,
    rows: Sequence[Sequence[Any]],
    columns: str = "stratum varchar, days double, moved boolean",
) -> list[Row]:
    fill(con, "times", columns, rows)
    return con.execute("from kaplan_meier('times')").fetchall()


def cumulative_incidence(
    con: duckdb.DuckDBPyConnection, rows: Sequence[Sequence[Any]]
) -> list[Row]:
    fill(con, "times", "stratum varchar, days double, cause integer", rows)
    return con.execute("from cumulative_incidence('times')").fetchall()


def value(con: duckdb.DuckDBPyConnection, expression: str) -> Any:
    return con.execute(f"select {expression}").fetchall()[0][0]


# --- the files ------------------------------------------------------------------------------


def header(text: str, key: str) -> list[str]:
    return re.findall(rf"^-- {key}[ :](.*)$", text, re.MULTILINE)


def statement(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("--"))


@pytest.mark.parametrize("name", sorted(SCALAR | TABLE))
def test_header_declares_what_the_macro_has(con: duckdb.DuckDBPyConnection, name: str) -> None:
    text = (MACROS / f"{name}.sql").read_text(encoding="utf-8")
    parameters, kind = con.execute(
        "select parameters, function_type from duckdb_functions() where function_name = ?", [name]
    ).fetchall()[0]

    assert len(header(text, "macro")) == len(header(text, "source")) == 1
    assert [line.partition(":")[0] for line in header(text, "param")] == parameters
    assert all(line.partition(":")[2].strip() for line in header(text, "param"))
    assert kind == ("table_macro" if name in TABLE else "macro")

    (example,) = header(text, "example")
    result = con.sql(example)
    declared = [line.partition(":")[0] for line in header(text, "column")]
    assert declared == (result.columns if name in TABLE else [])
    assert result.fetchall()


@pytest.mark.parametrize("name", sorted(SCALAR | TABLE))
def test_file_is_one_lower_case_statement_that_stands_alone(name: str) -> None:
    text = (MACROS / f"{name}.sql").read_text(encoding="utf-8")
    code = statement(text)

    assert code.startswith(f"create or replace macro {name}(")
    assert code.count(";") == 1
    assert code.endswith(";")
    assert code == code.lower()
    assert len(duckdb.extract_statements(text)) == 1
    others = (SCALAR | TABLE) - {name}
    assert not [other for other in others if re.search(rf"\b{other}\b(?!_)", code)]


# --- in a copied file -----------------------------------------------------------------------

USES = [
    "select round(wilson_low(81, 263), 4), round(wilson_high(81, 263), 4)",
    "select round(newcombe_low(56, 70, 48, 80), 4), round(newcombe_high(56, 70, 48, 80), 4)",
    "select round(e_value(3.9), 2)",
    "select round(confidence_sequence_low(0.035, 0.009634, 6000, 3000), 3)",
    "select round(confidence_sequence_high(0.035, 0.009634, 6000, 3000), 3)",
    "select days, at_risk, share from kaplan_meier('journey.times')",
    "select days, cause, share from cumulative_incidence('journey.times')",
    "select id, adjusted from benjamini_hochberg('journey.findings')",
    "select common_odds_ratio from mantel_haenszel('journey.cells')",
    "select days, share from journey.curve",
]
USED = [
    [(0.2553, 0.3662)],
    [(0.0524, 0.3339)],
    [(7.26,)],
    [(0.006,)],
    [(0.064,)],
    [(1, 2, 0.5), (2, 1, 0.5)],
    [(1, 1, 0.5), (2, 1, 0.5)],
    [("a", 0.02), ("b", 0.5)],
    [(6.0,)],
    [(1, 0.5), (2, 0.5)],
]


@pytest.fixture
def copied_file(tmp_path: Path) -> Path:
    original = tmp_path / "build.duckdb"
    with duckdb.connect(str(original)) as con:
        create_macros(con)
        con.execute("create schema journey")
        fill(
            con,
            "journey.times",
            "stratum varchar, days integer, moved boolean, cause integer",
            [("all", 1, True, 1), ("all", 2, False, 0)],
        )
        fill(con, "journey.findings", "id varchar, p double", [("a", 0.01), ("b", 0.5)])
        fill(
            con,
            "journey.cells",
            "stratum varchar, exposed boolean, outcome boolean, n integer",
            [
                ("all", True, True, 3),
                ("all", True, False, 1),
                ("all", False, True, 1),
                ("all", False, False, 2),
            ],
        )
        con.execute("create view journey.curve as select * from kaplan_meier('journey.times')")
    copy = tmp_path / "another name.duckdb"
    shutil.copyfile(original, copy)
    original.unlink()
    return copy


def test_macros_work_in_a_renamed_read_only_copy(copied_file: Path) -> None:
    with duckdb.connect(str(copied_file), read_only=True) as con:
        assert [con.execute(use).fetchall() for use in USES] == USED


def test_macros_work_in_a_locked_session(copied_file: Path) -> None:
    with duckdb.connect(
        str(copied_file),
        read_only=True,
        config={"enable_external_access": "false", "lock_configuration": "true"},
    ) as con:
        assert [con.execute(use).fetchall() for use in USES] == USED


def test_macros_work_in_an_attached_copy(copied_file: Path) -> None:
    with duckdb.connect() as con:
        con.execute(f"attach '{copied_file}' as other (read_only)")
        con.execute("use other")
        assert [con.execute(use).fetchall() for use in USES] == USED
        con.execute("use other.journey")
        assert [con.execute(use).fetchall() for use in USES] == USED


def test_macros_work_by_qualified_name_from_another_database(copied_file: Path) -> None:
    with duckdb.connect() as con:
        con.execute(f"attach '{copied_file}' as other (read_only)")
        qualified = [
            re.sub(r"\b((?:" + "|".join(sorted(SCALAR | TABLE)) + r")\()", r"other.\1", use)
            for use in USES
        ]
        qualified = [use.replace("journey.", "other.journey.") for use in qualified]
        assert [con.execute(use).fetchall() for use in qualified] == USED


# --- wilson ---------------------------------------------------------------------------------


def test_a_curve_is_the_same_to_the_last_bit_whatever_stands_beside_it(
    con: duckdb.DuckDBPyConnection,
) -> None:
    """The grid of definitions and the published curve hold the same stratum among others, under
    another name."""
    con.execute(
        """
        create or replace temp table numbered as
        select s % 40 as stratum, hash(s, 1) % 300 as days, hash(s, 2) % 3 = 0 as moved
        from range(60000) as t(s)
        """
    )
    con.execute(
        "create or replace temp table named as "
        "select 'name ' || stratum as stratum, days, moved from numbered"
    )
    found = []
    for name, stratum in (("numbered", "7"), ("named", "'name 7'")):
        con.execute(f"create or replace temp table drawn as from kaplan_meier('{name}')")
        query = f"select * exclude (stratum) from drawn where stratum = {stratum}"
        found.append(con.execute(query).fetchall())
    assert len(found[0]) > 50
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("x", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (28, 29, 1 - 0.1718, 1 - 0.0061),
    ],
)
def test_wilson_equals_newcombe_1998_table_1(
    con: duckdb.DuckDBPyConnection, x: int, n: int, low: float, high: float
) -> None:
    assert value(con, f"wilson_low({x}, {n})") == pytest.approx(low, abs=5e-5)
    assert value(con, f"wilson_high({x}, {n})") == pytest.approx(high, abs=5e-5)


def test_wilson_is_exact_at_its_ends_and_null_for_nobody(con: duckdb.DuckDBPyConnection) -> None:
    for n in (1, 2, 3, 7, 20, 999_983, 10_000_000):
        assert value(con, f"wilson_low(0, {n})") == 0.0
        assert value(con, f"wilson_high({n}, {n})") == 1.0
        assert 0 < value(con, f"wilson_high(0, {n})") < 1
        assert 0 < value(con, f"wilson_low({n}, {n})") < 1
    assert con.execute(
        "select wilson_low(0, 0), wilson_high(0, 0), wilson_low(null, 5), wilson_high(3, null)"
    ).fetchall() == [(None, None, None, None)]


@pytest.mark.parametrize("arguments", ["6, 5", "-1, 5", "0, -5", "1, 0", "'nan', 5", "1, 'inf'"])
def test_wilson_refuses_impossible_counts(con: duckdb.DuckDBPyConnection, arguments: str) -> None:
    with pytest.raises(duckdb.Error, match="does not hold"):
        value(con, f"wilson_low({arguments})")
    with pytest.raises(duckdb.Error, match="does not hold"):
        value(con, f"wilson_high({arguments})")


def test_wilson_takes_aggregates_of_any_number_type(con: duckdb.DuckDBPyConnection) -> None:
    fill(con, "teams", "has_moved boolean", [(True,)] * 15 + [(False,)] * 133)
    by_aggregate = con.execute(
        "select wilson_low(count(*) filter (where has_moved), count(*)),"
        " wilson_high(sum(has_moved::int), count(*)::decimal(9, 2)) from teams"
    ).fetchall()[0]
    assert by_aggregate == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert by_aggregate == (
        value(con, "wilson_low(15, 148)"),
        value(con, "wilson_high(15, 148)"),
    )


# --- newcombe -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "low", "high"),
    [
        ("56, 70, 48, 80", 0.0524, 0.3339),
        ("9, 10, 3, 10", 0.1705, 0.8090),
        ("6, 7, 2, 7", 0.0582, 0.8062),
        ("5, 56, 0, 29", -0.0381, 0.1926),
        ("0, 10, 0, 20", -0.1611, 0.2775),
        ("0, 10, 0, 10", -0.2775, 0.2775),
        ("10, 10, 0, 20", 0.6791, 1.0),
        ("10, 10, 0, 10", 0.6075, 1.0),
    ],
)
def test_newcombe_equals_table_2_of_1998(
    con: duckdb.DuckDBPyConnection, groups: str, low: float, high: float
) -> None:
    assert value(con, f"newcombe_low({groups})") == pytest.approx(low, abs=5e-5)
    assert value(con, f"newcombe_high({groups})") == pytest.approx(high, abs=5e-5)


def test_newcombe_changes_sign_when_the_groups_change_places(
    con: duckdb.DuckDBPyConnection,
) -> None:
    assert value(con, "newcombe_low(3, 11, 7, 9)") == pytest.approx(
        -value(con, "newcombe_high(7, 9, 3, 11)"), abs=1e-15
    )


def test_newcombe_never_leaves_minus_one_to_one(con: duckdb.DuckDBPyConnection) -> None:
    for n in range(1, 200):
        assert value(con, f"newcombe_high({n}, {n}, 0, {n + 3})") == 1.0
        assert value(con, f"newcombe_low(0, {n}, {n + 3}, {n + 3})") == -1.0


def test_newcombe_without_a_group_is_null_and_impossible_counts_are_refused(
    con: duckdb.DuckDBPyConnection,
) -> None:
    assert con.execute(
        "select newcombe_low(0, 0, 1, 2), newcombe_high(1, 2, 0, 0),"
        " newcombe_low(null, 2, 1, 2), newcombe_high(1, 2, 1, null)"
    ).fetchall() == [(None, None, None, None)]
    with pytest.raises(duckdb.Error, match="x1 <= n1"):
        value(con, "newcombe_low(3, 2, 1, 2)")
    with pytest.raises(duckdb.Error, match="x2 <= n2"):
        value(con, "newcombe_high(1, 2, 3, 2)")


# --- e-value and confidence sequence --------------------------------------------------------


def test_e_value_is_that_of_the_paper_and_symmetric(con: duckdb.DuckDBPyConnection) -> None:
    assert value(con, "e_value(3.9)") == pytest.approx(7.26, abs=5e-3)
    assert value(con, "e_value(1)") == 1.0
    assert value(con, "e_value(0.5)") == pytest.approx(2 + math.sqrt(2), abs=1e-12)
    assert value(con, "e_value(1 / 3.9)") == pytest.approx(value(con, "e_value(3.9)"), abs=1e-12)


def test_e_value_of_nothing_is_null_and_of_the_impossible_an_error(
    con: duckdb.DuckDBPyConnection,
) -> None:
    assert con.execute("select e_value(0), e_value(null)").fetchall() == [(None, None)]
    for impossible in ("-1", "'inf'::double", "'nan'::double"):
        with pytest.raises(duckdb.Error, match="negative or not finite"):
            value(con, f"e_value({impossible})")


def test_confidence_sequence_is_that_of_growthbook(con: duckdb.DuckDBPyConnection) -> None:
    # 150 and 185 of 1,000 each, tuned to 2,000 units: GrowthBook's gbstats 0.8.0
    arguments = "0.035, sqrt((0.15 * 0.85 + 0.185 * 0.815) / 1000), 2000, 2000"
    assert value(con, f"confidence_sequence_low({arguments})") == pytest.approx(
        -0.0156320714, abs=1e-9
    )
    assert value(con, f"confidence_sequence_high({arguments})") == pytest.approx(
        0.0856320714, abs=1e-9
    )


def test_confidence_sequence_is_tightest_near_its_tuning_and_wider_than_one_look(
    con: duckdb.DuckDBPyConnection,
) -> None:
    widths = {
        tuning: value(con, f"confidence_sequence_high(0, 1, 1000, {tuning})")
        for tuning in (10, 900, 1000, 1100, 100_000)
    }
    assert min(widths, key=widths.__getitem__) in {900, 1000, 1100}
    assert all(width > Z for width in widths.values())
    assert value(con, "confidence_sequence_low(0, 1, 1000, 1000)") == -widths[1000]


def test_confidence_sequence_edges(con: duckdb.DuckDBPyConnection) -> None:
    assert value(con, "confidence_sequence_low(0.1, 0.1, 0, 5000)") is None
    assert value(con, "confidence_sequence_high(null, 0.1, 10, 5000)") is None
    assert value(con, "confidence_sequence_high(0.1, 0, 10, 5000)") == 0.1
    for impossible in (
        "0.1, -0.1, 10, 5000",
        "0.1, 'nan', 10, 5000",
        "'inf', 0.1, 10, 5000",
        "0.1, 0.1, -10, 5000",
        "0.1, 0.1, 10, 0",
    ):
        with pytest.raises(duckdb.Error, match="confidence_sequence_low"):
            value(con, f"confidence_sequence_low({impossible})")
        with pytest.raises(duckdb.Error, match="confidence_sequence_high"):
            value(con, f"confidence_sequence_high({impossible})")


# --- kaplan_meier ---------------------------------------------------------------------------


def test_kaplan_meier_equals_the_printed_6mp_table(con: duckdb.DuckDBPyConnection) -> None:
    rows = [("6-MP", week, True) for week in FREIREICH_6MP_RELAPSED]
    rows += [("6-MP", week, False) for week in FREIREICH_6MP_CENSORED]
    result = kaplan_meier(con, rows)

    assert [row[1:5] for row in result] == [row[:4] for row in FREIREICH_6MP_TABLE]
    assert [1 - row[5] for row in result] == pytest.approx(
        [row[4] for row in FREIREICH_6MP_TABLE], abs=5e-4
    )
    # R survfit(conf.type = "log-log") at 10 and 23 weeks
    assert result[3][6:] == pytest.approx((1 - 0.889361835169265, 1 - 0.503199510799957), abs=1e-9)
    assert result[11][6:] == pytest.approx((1 - 0.680142628495241, 1 - 0.188052005959232), abs=1e-9)


def test_a_team_censored_on_a_day_is_at_risk_on_that_day(con: duckdb.DuckDBPyConnection) -> None:
    rows = [("a", 7, True), ("a", 7, False), ("a", 7, False), ("a", 9, False)]
    assert [row[1:6] for row in kaplan_meier(con, rows)] == [
        (7, 4, 1, 2, 0.25),
        (9, 1, 0, 1, 0.25),
    ]


def test_before_the_first_move_the_upper_limit_is_what_nobody_of_n_still_allows(
    con: duckdb.DuckDBPyConnection,
) -> None:
    rows = [("a", 1, False), ("a", 1, False), ("a", 2, False), ("a", 3, False)]
    result = kaplan_meier(con, rows)
    assert [row[5:7] for row in result] == [(0.0, 0.0)] * 3
    assert [row[7] for row in result] == pytest.approx(
        [1 - 0.025 ** (1 / 4), 1 - 0.025 ** (1 / 2), 0.975], abs=1e-15
    )


def test_when_nobody_is_left_the_upper_limit_is_one_and_the_lower_unknown(
    con: duckdb.DuckDBPyConnection,
) -> None:
    rows = [("a", 1, True), ("a", 2, False), ("a", 3, True), ("b", 5, True)]
    assert [row[:2] + row[5:] for row in kaplan_meier(con, rows) if row[1] in (3, 5)] == [
        ("a", 3, 1.0, None, 1.0),
        ("b", 5, 1.0, None, 1.0),
    ]


def test_days_may_be_zero_and_fractional_and_keep_their_type(
    con: duckdb.DuckDBPyConnection,
) -> None:
    rows = [("a", 0, True), ("a", 0.5, False), ("a", 1.25, True), ("a", 2, False)]
    assert [row[1:6] for row in kaplan_meier(con, rows)] == [
        (0.0, 4, 1, 0, 0.25),
        (0.5, 3, 0, 1, 0.25),
        (1.25, 2, 1, 0, 0.625),
        (2.0, 1, 0, 1, 0.625),
    ]
    for number_type in ("tinyint", "bigint", "hugeint", "decimal(9, 3)", "float", "utinyint"):
        fill(con, "typed", f"stratum integer, days {number_type}, moved integer", [(1, 0, 1)])
        described = con.execute("describe from kaplan_meier('typed')").fetchall()
        assert {row[0]: row[1] for row in described} == {
            "stratum": "INTEGER",
            "days": number_type.upper().replace(", ", ","),
            "at_risk": "BIGINT",
            "moved": "BIGINT",
            "censored": "BIGINT",
            "share": "DOUBLE",
            "ci_low": "DOUBLE",
            "ci_high": "DOUBLE",
        }


def test_moved_may_be_zero_or_one(con: duckdb.DuckDBPyConnection) -> None:
    rows = [("a", 1, 1), ("a", 2, 0), ("a", 3, 1)]
    by_integer = kaplan_meier(con, rows, "stratum varchar, days double, moved integer")
    assert by_integer == kaplan_meier(con, [(*row[:2], bool(row[2])) for row in rows])


@pytest.mark.parametrize(
    ("stratum_type", "strata"),
    [
        ("varchar", ["a", "b", None]),
        ("integer", [1, 2, None]),
        ("boolean", [False, True, None]),
        ("date", ["2025-01-01", "2025-01-02", None]),
        ("struct(plan varchar, region varchar)", [{"plan": "lite", "region": None}, None]),
        ("varchar[]", [["a"], ["a", None], None]),
    ],
)
def test_a_stratum_may_be_of_any_type_and_null_is_one_of_them(
    con: duckdb.DuckDBPyConnection, stratum_type: str, strata: list[Any]
) -> None:
    rows = [(stratum, days, days == 2) for stratum in strata for days in (1, 2, 3)]
    result = kaplan_meier(con, rows, f"stratum {stratum_type}, days integer, moved boolean")
    assert [row[1:6] for row in result] == [
        (1, 3, 0, 1, 0.0),
        (2, 2, 1, 0, 0.5),
        (3, 1, 0, 1, 0.5),
    ] * len(strata)
    assert result[-1][0] is None
    assert len({str(row[0]) for row in result}) == len(strata)

    fill(con, "times", f"stratum {stratum_type}, days integer, cause integer", rows)
    incidence = con.execute("from cumulative_incidence('times')").fetchall()
    assert [row[1:5] for row in incidence] == [(1, 1, 3, 0), (2, 1, 2, 0.5), (3, 1, 1, 0.5)] * len(
        strata
    )


def test_the_source_may_be_a_table_a_view_a_cte_and_bear_any_name(
    own_con: duckdb.DuckDBPyConnection,
) -> None:
    own_con.execute("create schema journey")
    columns = "stratum integer, days integer, moved integer, cause integer"
    internal = re.findall(
        r"^(\w+) as (?:materialized )?\(",
        "\n".join((MACROS / f"{macro}.sql").read_text(encoding="utf-8") for macro in sorted(TABLE)),
        re.MULTILINE,
    )
    assert "survival" in internal
    for name in ["journey.times", "source", '"odd name.v1"', *dict.fromkeys(internal)]:
        fill(own_con, name, columns, [(1, 5, 1, 1)])
        assert own_con.execute("select days from kaplan_meier(?)", [name]).fetchall() == [(5,)]
        assert own_con.execute("select days from cumulative_incidence(?)", [name]).fetchall() == [
            (5,)
        ]
    own_con.execute("create temp table private_times as from journey.times")
    own_con.execute("create temp view private_view as from journey.times")
    own_con.execute("create view journey.seen as from journey.times")
    for name in ("private_times", "private_view", "journey.seen", "memory.journey.times"):
        assert own_con.execute(f"select days from kaplan_meier('{name}')").fetchall() == [(5,)]
    assert own_con.execute(
        "with survival as (select 1 as stratum, 9 as days, true as moved)"
        " select days from kaplan_meier('survival')"
    ).fetchall() == [(9,)]


def test_other_columns_of_the_source_are_ignored_whatever_their_name(
    con: duckdb.DuckDBPyConnection,
) -> None:
    con.execute(
        "create or replace table times as select 1 as stratum, unnest([1, 2]) as days,"
        " unnest([true, false]) as moved, unnest([1, 0]) as cause, 7 as units, 8 as has_moved,"
        " 9 as at_risk, 10 as censored, 11 as share, 12 as events, 13 as spread, 14 as source"
    )
    for macro in ("kaplan_meier", "cumulative_incidence"):
        result = con.execute(f"select days, at_risk, share from {macro}('times')").fetchall()
        assert result == [(1, 2, 0.5), (2, 1, 0.5)]


def test_an_empty_source_gives_no_rows(con: duckdb.DuckDBPyConnection) -> None:
    assert kaplan_meier(con, []) == []
    assert cumulative_incidence(con, []) == []


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (("a", None, True), "days is missing"),
        (("a", -1, True), "negative"),
        (("a", float("nan"), False), "not finite"),
        (("a", float("inf"), False), "not finite"),
        (("a", 2, None), "is missing"),
    ],
)
def test_rows_that_cannot_be_placed_stop_instead_of_vanishing(
    con: duckdb.DuckDBPyConnection, bad: Row, message: str
) -> None:
    good = [("a", 1.0, True), ("b", 2.0, False)]
    with pytest.raises(duckdb.Error, match=message):
        kaplan_meier(con, [*good, bad])
    with pytest.raises(duckdb.Error, match=message):
        cumulative_incidence(con, [*good, bad])


def random_world(seed: int, teams: int, causes: int, days: int) -> list[tuple[str, int, int]]:
    draw = random.Random(seed)
    return [
        (
            draw.choice(["a", "b"]),
            draw.randrange(days),
            draw.choices(range(causes + 1), [3] + [1] * causes)[0],
        )
        for _ in range(teams)
    ]


def test_settings_of_the_session_change_nothing(own_con: duckdb.DuckDBPyConnection) -> None:
    fill(
        own_con,
        "times",
        "stratum varchar, days integer, cause integer, moved boolean",
        [(*row, row[2] == 1) for row in random_world(7, 400, 2, 30)],
    )
    fill(own_con, "findings", "id integer, p double", [(3, 0.2), (1, 0.01), (2, 0.01), (4, None)])
    queries = [
        "from kaplan_meier('times')",
        "from cumulative_incidence('times')",
        "from benjamini_hochberg('findings')",
        "select wilson_low(1, 3), newcombe_high(1, 3, 2, 3)",
    ]
    usual = [own_con.execute(query).fetchall() for query in queries]
    own_con.execute("set default_order = 'desc'")
    own_con.execute("set default_null_order = 'nulls_first'")
    own_con.execute("set integer_division = true")
    own_con.execute("set threads = 1")
    assert [own_con.execute(query).fetchall() for query in queries] == usual


def exact_kaplan_meier(rows: Sequence[tuple[Any, int, int]]) -> dict[int, tuple[Any, ...]]:
    """Share and Greenwood's sum of one stratum in fractions, as METRIC.md writes them."""
    result = {}
    remaining, greenwood = Fraction(1), Fraction(0)
    for day in sorted({row[1] for row in rows}):
        at_risk = sum(row[1] >= day for row in rows)
        events = sum(row[1] == day and row[2] > 0 for row in rows)
        remaining *= 1 - Fraction(events, at_risk)
        if events < at_risk:
            greenwood += Fraction(events, at_risk * (at_risk - events))
        result[day] = (at_risk, events, 1 - remaining, greenwood)
    return result


def log_log_limits(share: Fraction, spread: float) -> tuple[float, float]:
    remaining = float(1 - share)
    return 1 - remaining ** math.exp(-spread), 1 - remaining ** math.exp(spread)


@pytest.mark.parametrize("seed", range(12))
def test_kaplan_meier_equals_its_formula_in_fractions(
    con: duckdb.DuckDBPyConnection, seed: int
) -> None:
    rows = random_world(seed, teams=10 + 15 * seed, causes=1, days=3 + 5 * seed)
    result = kaplan_meier(con, [(*row[:2], row[2] == 1) for row in rows])

    assert [row[:2] for row in result] == sorted({row[:2] for row in rows})
    for stratum in ("a", "b"):
        exact = exact_kaplan_meier([row for row in rows if row[0] == stratum])
        for _, day, at_risk, moved, censored, share, low, high in filter(
            lambda row: row[0] == stratum, result
        ):
            assert (at_risk, moved) == exact[day][:2]
            assert censored == sum(row == (stratum, day, 0) for row in rows)
            expected, greenwood = exact[day][2:]
            assert share == pytest.approx(float(expected), abs=1e-13)
            if expected == 0:
                assert (low, high) == (0, pytest.approx(1 - 0.025 ** (1 / at_risk), abs=1e-15))
            elif expected == 1:
                assert (low, high) == (None, 1)
            else:
                spread = Z * math.sqrt(greenwood) / abs(math.log(1 - expected))
                assert (low, high) == pytest.approx(log_log_limits(expected, spread), abs=1e-12)
                assert 0 < low < share < high < 1


def test_kaplan_meier_is_finite_for_a_huge_source_with_one_move(
    con: duckdb.DuckDBPyConnection,
) -> None:
    con.execute(
        "create or replace table times as select 1 as stratum, 3 + i % 5 as days, i = 0 as moved"
        " from range(1000000) as teams(i)"
    )
    result = con.execute("from kaplan_meier('times')").fetchall()
    assert len(result) == 5
    for row in result:
        assert row[5] == pytest.approx(1e-6, rel=1e-9)
        # the exact interval of one event of a million, on the log(-log) scale: 1e-6 * exp(-+z)
        assert row[6:] == pytest.approx((1e-6 * math.exp(-Z), 1e-6 * math.exp(Z)), rel=1e-5)


# --- cumulative_incidence -------------------------------------------------------------------


def test_cumulative_incidence_of_tied_days_is_exact(con: duckdb.DuckDBPyConnection) -> None:
    rows = [("all", day, cause) for day in (1, 2, 3) for cause in (1, 2, 0, 0)]
    rows += [("all", 5, 0), ("all", 5, 0), ("all", 5, 1)]
    result = cumulative_incidence(con, rows)

    assert [row[1:3] for row in result] == [(day, k) for day in (1, 2, 3, 5) for k in (1, 2)]
    assert [row[4] for row in result if row[2] == 1] == pytest.approx(
        [1 / 15, 8 / 55, 19 / 77, 32 / 77], abs=1e-15
    )
    assert [row[4] for row in result if row[2] == 2] == pytest.approx(
        [1 / 15, 8 / 55, 19 / 77, 19 / 77], abs=1e-15
    )


def test_cumulative_incidence_equals_the_sas_values_of_six_units(
    con: duckdb.DuckDBPyConnection,
) -> None:
    causes = [0, 1, 1, 2, 2, 0]
    rows = [("all", day, cause) for day, cause in enumerate(causes, start=1)]
    result = {row[1]: row for row in cumulative_incidence(con, rows) if row[2] == 2}
    assert [result[day][4] for day in range(1, 7)] == pytest.approx(
        [0, 0, 0, 0.2, 0.4, 0.4], abs=1e-15
    )
    assert [result[day][5] ** 2 for day in range(1, 7)] == pytest.approx(
        [0, 0, 0, 0.032, 0.048, 0.048], abs=1e-15
    )


def exact_cumulative_incidence(
    rows: Sequence[tuple[Any, int, int]], cause: int
) -> dict[int, tuple[int, Fraction, Fraction]]:
    """At risk, share and delta variance of one cause in one stratum, the sums taken as printed."""
    days = sorted({row[1] for row in rows})
    at_risk = {day: sum(row[1] >= day for row in rows) for day in days}
    events = {day: sum(row[1] == day and row[2] > 0 for row in rows) for day in days}
    own = {day: sum(row[1:] == (day, cause) for row in rows) for day in days}
    before, share = {}, {}
    remaining, running = Fraction(1), Fraction(0)
    for day in days:
        before[day] = remaining
        running += remaining * Fraction(own[day], at_risk[day])
        remaining *= 1 - Fraction(events[day], at_risk[day])
        share[day] = running
    result = {}
    for day in days:
        variance = Fraction(0)
        for j in days:
            if j > day:
                break
            n, d, d_k = at_risk[j], events[j], own[j]
            distance = share[day] - share[j]
            if d < n:
                variance += distance**2 * Fraction(d, n * (n - d))
            variance += before[j] ** 2 * Fraction(d_k * (n - d_k), n**3)
            variance -= 2 * distance * before[j] * Fraction(d_k, n**2)
        result[day] = (at_risk[day], share[day], variance)
    return result


@pytest.mark.parametrize("seed", range(12))
def test_cumulative_incidence_equals_its_formula_in_fractions(
    con: duckdb.DuckDBPyConnection, seed: int
) -> None:
    causes = 2 + seed % 3
    rows = random_world(100 + seed, teams=8 + 12 * seed, causes=causes, days=3 + 4 * seed)
    result = cumulative_incidence(con, rows)

    seen = {(row[0], row[2]) for row in rows if row[2] > 0}
    assert [row[:3] for row in result] == sorted(
        {(stratum, row[1], k) for stratum, k in seen for row in rows if row[0] == stratum}
    )
    for stratum, cause in seen:
        exact = exact_cumulative_incidence([row for row in rows if row[0] == stratum], cause)
        for _, day, _, at_risk, share, std_error, low, high in filter(
            lambda row: (row[0], row[2]) == (stratum, cause), result
        ):
            n, expected, variance = exact[day]
            assert at_risk == n
            assert share == pytest.approx(float(expected), abs=1e-13)
            assert std_error == pytest.approx(math.sqrt(variance), rel=1e-11, abs=1e-13)
            if expected == 0:
                assert (std_error, low) == (0, 0)
                assert high == pytest.approx(1 - 0.025 ** (1 / n), abs=1e-15)
            else:
                remaining = float(1 - expected)
                spread = Z * math.sqrt(variance) / (remaining * abs(math.log(remaining)))
                assert (low, high) == pytest.approx(log_log_limits(expected, spread), abs=1e-11)
                assert 0 < low < share < high < 1


@pytest.mark.parametrize("seed", range(8))
def test_with_one_cause_cumulative_incidence_is_kaplan_meier(
    con: duckdb.DuckDBPyConnection, seed: int
) -> None:
    rows = random_world(200 + seed, teams=5 + 60 * seed, causes=1, days=2 + 9 * seed)
    # one stratum that starts with censoring and ends with nobody left, so that both edges are met
    rows += [("edges", 1, 0), ("edges", 2, 1), ("edges", 3, 0), ("edges", 4, 1)]
    with_a_cause = {row[0] for row in rows if row[2] == 1}
    survival = [
        row
        for row in kaplan_meier(con, [(*row[:2], row[2] == 1) for row in rows])
        if row[0] in with_a_cause
    ]
    incidence = cumulative_incidence(con, rows)

    assert [(row[0], row[1], row[3]) for row in incidence] == [row[:3] for row in survival]
    for one_cause, survivor in zip(incidence, survival, strict=True):
        assert one_cause[4] == pytest.approx(survivor[5], abs=1e-12)
        assert one_cause[6:] == pytest.approx(survivor[6:], abs=1e-12)
    assert (1, None, 1) in [(row[4], row[6], row[7]) for row in incidence]


def test_with_one_cause_it_nests_to_the_last_digits_for_a_long_curve(
    con: duckdb.DuckDBPyConnection,
) -> None:
    con.execute(
        "create or replace table times as select 1 as stratum, i % 3000 as days,"
        " i % 3 <> 0 as moved, (i % 3 <> 0)::int as cause from range(50000) as teams(i)"
    )
    ((days, apart),) = con.execute(
        "select count(*), max(greatest(abs(c.share - k.share), abs(c.ci_low - k.ci_low),"
        " abs(c.ci_high - k.ci_high))) from kaplan_meier('times') as k"
        " inner join cumulative_incidence('times') as c using (stratum, days)"
    ).fetchall()
    assert days == 3000
    assert apart < 1e-12


def test_a_cause_that_took_everybody_has_a_share_of_exactly_one(
    con: duckdb.DuckDBPyConnection,
) -> None:
    rows = [(str(teams), day, 1) for teams in range(1, 60) for day in range(teams)]
    last = [row for row in cumulative_incidence(con, rows) if row[3] == 1]
    assert [row[4:] for row in last] == [(1.0, None, None, 1.0)] * 59


@pytest.mark.parametrize("seed", range(6))
def test_causes_add_up_to_one_minus_kaplan_meier(con: duckdb.DuckDBPyConnection, seed: int) -> None:
    rows = random_world(300 + seed, teams=150, causes=3, days=20)
    survival = kaplan_meier(con, [(*row[:2], row[2] > 0) for row in rows])
    totals: dict[Row, float] = {}
    for row in cumulative_incidence(con, rows):
        totals[row[:2]] = totals.get(row[:2], 0) + row[4]
    assert [totals[row[:2]] for row in survival] == pytest.approx(
        [row[5] for row in survival], abs=1e-12
    )


def test_the_last_unit_of_two_causes_leaves_both_shares_an_interval(
    con: duckdb.DuckDBPyConnection,
) -> None:
    result = cumulative_incidence(con, [("a", 1, 1), ("a", 1, 2), ("a", 2, 1), ("a", 3, 2)])
    last = [row for row in result if row[1] == 3]
    assert [row[4] for row in last] == pytest.approx([0.5, 0.5], abs=1e-15)
    # nobody is censored, so each is a proportion of 4
    assert [row[5] for row in last] == pytest.approx([0.25, 0.25], abs=1e-15)
    assert all(0 < row[6] < 0.5 < row[7] < 1 for row in last)


def test_a_stratum_censored_throughout_has_no_cause(con: duckdb.DuckDBPyConnection) -> None:
    assert cumulative_incidence(con, [("a", 1, 0), ("a", 2, 0)]) == []
    assert {row[0] for row in cumulative_incidence(con, [("a", 1, 0), ("b", 2, 7)])} == {"b"}


def test_no_number_that_comes_out_is_nan_or_infinite(con: duckdb.DuckDBPyConnection) -> None:
    worlds = [
        [("a", 0, 1)],
        [("a", 0, 1), ("a", 0, 2)],
        [("a", 0, 0), ("a", 1, 1), ("a", 1, 2), ("a", 1, 2)],
        [("a", 1, 2)] + [("a", 2, 0)] * 3000 + [("a", 3, 1)],
        [("a", day, 1 + day % 2) for day in range(300)],
        [("a", day, 1) for day in range(300)],
    ]
    for world in worlds:
        survival = kaplan_meier(con, [(*row[:2], row[2] == 1) for row in world])
        for row in survival + cumulative_incidence(con, world):
            assert all(math.isfinite(number) for number in row[1:] if number is not None)
            assert all(0 <= number <= 1 for number in row[-2:] if number is not None)


# --- benjamini_hochberg ---------------------------------------------------------------------


def benjamini_hochberg(con: duckdb.DuckDBPyConnection, rows: Sequence[Row]) -> list[Row]:
    fill(con, "findings", "id varchar, p double", rows)
    return con.execute("from benjamini_hochberg('findings')").fetchall()


def test_benjamini_hochberg_rejects_four_of_the_fifteen_of_1995(
    con: duckdb.DuckDBPyConnection,
) -> None:
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p_values += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    result = benjamini_hochberg(con, [(str(i), p) for i, p in enumerate(p_values)])
    assert [row[1] for row in result] == p_values
    assert sum(row[2] <= 0.05 for row in result) == 4
    # 7 x .0298 holds for the sixth too: 15 / 7 * .0298
    assert [row[2] for row in result[3:7]] == pytest.approx(
        [0.035625, 0.0603, 0.0298 * 15 / 7, 0.0298 * 15 / 7], abs=1e-12
    )


def test_benjamini_hochberg_keeps_ties_together_and_missing_tests_out(
    con: duckdb.DuckDBPyConnection,
) -> None:
    rows = [("c", 0.03), ("a", 0.03), ("x", None), ("b", 0.5), ("d", 0.9), ("0", 0.0)]
    assert benjamini_hochberg(con, rows) == [
        ("0", 0.0, 0.0),
        ("a", 0.03, pytest.approx(0.05, abs=1e-15)),
        ("c", 0.03, pytest.approx(0.05, abs=1e-15)),
        ("b", 0.5, pytest.approx(0.625, abs=1e-15)),
        ("d", 0.9, pytest.approx(0.9, abs=1e-15)),
        ("x", None, None),
    ]


def test_benjamini_hochberg_edges(con: duckdb.DuckDBPyConnection) -> None:
    assert benjamini_hochberg(con, []) == []
    assert benjamini_hochberg(con, [("a", None)]) == [("a", None, None)]
    assert benjamini_hochberg(con, [("a", 1.0), ("b", 1.0)]) == [("a", 1, 1), ("b", 1, 1)]
    for impossible in (-0.1, 1.1, float("nan")):
        with pytest.raises(duckdb.Error, match="outside 0..1"):
            benjamini_hochberg(con, [("a", impossible)])


# --- mantel_haenszel ------------------------------------------------------------------------

MANTEL_HAENSZEL_COLUMNS = "stratum varchar, exposed boolean, outcome boolean, n double"


def mantel_haenszel(con: duckdb.DuckDBPyConnection, rows: Sequence[Row]) -> dict[str, Any]:
    fill(con, "cells", MANTEL_HAENSZEL_COLUMNS, rows)
    relation = con.sql("from mantel_haenszel('cells')")
    (row,) = relation.fetchall()
    return dict(zip(relation.columns, row, strict=True))


def cells(tables: Mapping[Any, tuple[float, float, float, float]]) -> list[Row]:
    sides = [(True, True), (True, False), (False, True), (False, False)]
    return [
        (stratum, *side, n)
        for stratum, table in tables.items()
        for side, n in zip(sides, table, strict=True)
    ]


def test_mantel_haenszel_turns_the_crude_ratio_of_berkeley_around(
    con: duckdb.DuckDBPyConnection,
) -> None:
    result = mantel_haenszel(con, cells(BERKELEY_1973))
    assert result["strata"] == 6
    assert result["units"] == 4526
    assert result["crude_odds_ratio"] == pytest.approx(1.84108, abs=5e-6)
    # R mantelhaen.test(UCBAdmissions)
    assert result["common_odds_ratio"] == pytest.approx(0.9046968, abs=5e-8)
    assert result["ci_low"] == pytest.approx(0.7719074, abs=5e-8)
    assert result["ci_high"] == pytest.approx(1.0603298, abs=5e-8)
    assert result["chi_square_corrected"] == pytest.approx(1.4269, abs=5e-5)
    assert result["chi_square"] == pytest.approx(1.5246, abs=5e-5)
    assert result["p_corrected"] == pytest.approx(0.2323, abs=5e-5)


def test_mantel_haenszel_of_one_stratum_is_the_plain_odds_ratio(
    con: duckdb.DuckDBPyConnection,
) -> None:
    result = mantel_haenszel(con, cells({None: (30, 10, 15, 20)}))
    woolf = math.sqrt(1 / 30 + 1 / 10 + 1 / 15 + 1 / 20)
    assert result["common_odds_ratio"] == result["crude_odds_ratio"] == 4.0
    assert result["ci_low"] == pytest.approx(4 * math.exp(-Z * woolf), rel=1e-12)
    assert result["ci_high"] == pytest.approx(4 * math.exp(Z * woolf), rel=1e-12)


def test_mantel_haenszel_counts_split_cells_together_and_absent_cells_as_zero(
    con: duckdb.DuckDBPyConnection,
) -> None:
    whole = mantel_haenszel(con, cells({"a": (4, 2, 0, 5), "b": (3, 3, 2, 6)}))
    split = [row for row in cells({"a": (4, 1, 0, 5), "b": (3, 3, 2, 6)}) if row[3] > 0]
    assert mantel_haenszel(con, [*split, ("a", True, False, 1)]) == whole
    assert whole["strata"] == 2


def test_mantel_haenszel_leaves_the_correction_out_under_half_a_unit(
    con: duckdb.DuckDBPyConnection,
) -> None:
    result = mantel_haenszel(con, cells({"a": (5, 5, 5, 6)}))
    assert 0 < result["chi_square"] == result["chi_square_corrected"]
    corrected = mantel_haenszel(con, cells({"a": (9, 5, 5, 6)}))
    assert 0 < corrected["chi_square_corrected"] < corrected["chi_square"]
    assert corrected["p_corrected"] > corrected["p"]


def test_mantel_haenszel_edges_are_null_never_nan(con: duckdb.DuckDBPyConnection) -> None:
    nothing = {"strata": 0, "units": 0}
    assert mantel_haenszel(con, []) == dict.fromkeys(mantel_haenszel(con, [])) | nothing

    without_lower_sum = mantel_haenszel(con, cells({"a": (3, 0, 2, 4)}))
    assert without_lower_sum["common_odds_ratio"] is None
    assert without_lower_sum["ci_low"] is without_lower_sum["ci_high"] is None
    assert without_lower_sum["chi_square"] > 0

    zero = mantel_haenszel(con, cells({"a": (0, 3, 2, 4)}))
    assert zero["common_odds_ratio"] == 0
    assert zero["ci_low"] is zero["ci_high"] is None

    no_variance = mantel_haenszel(con, cells({"a": (1, 0, 0, 0), "b": (0, 0, 0, 0)}))
    assert no_variance["chi_square"] is no_variance["p"] is no_variance["p_corrected"] is None

    useful = mantel_haenszel(con, cells({"a": (5, 3, 2, 8)}))
    padded = cells({"a": (5, 3, 2, 8), "b": (1, 0, 0, 0), "c": (0, 0, 0, 0)})
    for key in ("common_odds_ratio", "ci_low", "ci_high", "chi_square", "p_corrected"):
        assert mantel_haenszel(con, padded)[key] == pytest.approx(useful[key], rel=1e-14)


@pytest.mark.parametrize(
    "bad",
    [
        ("a", None, True, 1),
        ("a", True, None, 1),
        ("a", True, True, None),
        ("a", True, True, -1),
        ("a", True, True, float("nan")),
    ],
)
def test_mantel_haenszel_refuses_cells_that_cannot_be_counted(
    con: duckdb.DuckDBPyConnection, bad: Row
) -> None:
    with pytest.raises(duckdb.Error, match="mantel_haenszel"):
        mantel_haenszel(con, [*cells({"a": (5, 3, 2, 8)}), bad])


def test_p_is_the_upper_tail_of_chi_square_to_twelve_digits(
    con: duckdb.DuckDBPyConnection,
) -> None:
    seen = []
    for shift in (
        0,
        1e-6,
        0.1,
        0.6,
        3,
        9,
        17,
        17.1,
        17.2,
        17.3,
        17.4,
        17.7,
        18,
        25,
        40,
        50,
        60,
        150,
        290,
    ):
        table = (300 + shift, 300 - shift, 300 - shift, 300 + shift)
        result = mantel_haenszel(con, cells({"a": table}))
        for chi_square, p in (
            (result["chi_square"], result["p"]),
            (result["chi_square_corrected"], result["p_corrected"]),
        ):
            assert p == pytest.approx(math.erfc(math.sqrt(chi_square / 2)), rel=1e-12, abs=0)
            seen.append(chi_square)
    assert min(seen) == 0
    assert any(3.8 < chi_square < 4 for chi_square in seen)
    assert any(4 <= chi_square < 4.3 for chi_square in seen)
    assert max(seen) > 1000
