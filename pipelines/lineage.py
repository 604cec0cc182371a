"""Where each column of a query takes its values from: column lineage, from DuckDB's parse tree.

Belongs here: walking the tree. Does not belong here: which tables a file reads
(sql_assets.parse), Dagster (defs/).

A column's sources are the columns that its expression is computed from, windows and scalar
subqueries included. What only chooses rows (joins, filters, grouping) is no source. A table macro
gives every column all columns of the relation that it is given by name. What can't be resolved is
left out rather than guessed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Source = tuple[str, str]  # schema.table, column
Sources = frozenset[Source]
_NOTHING: Sources = frozenset()


@dataclass(frozen=True)
class Relation:
    """Columns of something in FROM, and the sources of any column that isn't listed."""

    columns: Mapping[str, Sources]
    rest: Sources = _NOTHING

    def has(self, column: str) -> bool:
        return column in self.columns or bool(self.rest)

    def of(self, column: str) -> Sources:
        return self.columns.get(column, self.rest)

    def everything(self) -> Sources:
        return self.rest.union(*self.columns.values())


Relations = Mapping[str, Relation]


def columns(
    tree: Mapping[str, Any], wanted: Iterable[str], documented: Mapping[str, Iterable[str]]
) -> dict[str, Sources]:
    """Sources of the wanted output columns, those without a source left out.

    tree: json_serialize_sql of one query; documented: the columns of every schema.table.
    """
    made = _query(tree["statements"][0]["node"], _Known(documented), {}, {})
    found = {name: made.of(name.lower()) for name in wanted}
    return {name: sources for name, sources in found.items() if sources}


class _Known:
    """Relations of the documented tables."""

    def __init__(self, documented: Mapping[str, Iterable[str]]) -> None:
        self._documented = documented

    def relation(self, table: str) -> Relation:
        listed = self._documented.get(table, ())
        return Relation({c: frozenset({(table, c)}) for c in listed})


def _query(node: dict[str, Any], known: _Known, ctes: Relations, outer: Relations) -> Relation:
    """The relation that a query makes. outer: what a correlated subquery sees around it."""
    named = dict(ctes)
    for entry in (node.get("cte_map") or {}).get("map", []):
        made = _query(entry["value"]["query_node"], known, named, outer)
        named[entry["key"].lower()] = _renamed(made, entry["value"].get("aliases") or [])
    if node["type"] == "SET_OPERATION_NODE":
        parts = [_query(child, known, named, outer) for child in _children(node)]
        return _united(parts)
    if node["type"] == "RECURSIVE_CTE_NODE":
        return _united([_query(node[side], known, named, outer) for side in ("left", "right")])
    if node["type"] != "SELECT_NODE":
        return Relation({})
    here = dict(_from(node.get("from_table") or {}, known, named, outer))
    found: dict[str, Sources] = {}
    rest = _NOTHING
    for position, item in enumerate(node.get("select_list", [])):
        if item.get("class") == "STAR":
            found |= _star(item, here, known, named, outer)
            rest = rest.union(*(r.rest for r in here.values()))
            continue
        name = item.get("alias") or (item.get("column_names") or [f"column{position}"])[-1]
        found[name.lower()] = _sources(item, known, named, {**outer, **here}, found)
    return Relation(found, rest)


def _children(node: dict[str, Any]) -> list[dict[str, Any]]:
    return node.get("children") or [node["left"], node["right"]]


def _united(parts: list[Relation]) -> Relation:
    """Set operations match columns by their position and take the names of the first part."""
    names = list(parts[0].columns)
    listed = [list(part.columns.values()) for part in parts]
    return Relation(
        {name: frozenset().union(*(p[at] for p in listed if at < len(p))) for at, name in enumerate(names)}
    )  # fmt: skip


def _renamed(made: Relation, names: list[str]) -> Relation:
    listed = list(made.columns.items())
    first = {new.lower(): sources for new, (_, sources) in zip(names, listed, strict=False)}
    return Relation(first | dict(listed[len(names) :]), made.rest)


def _from(
    node: dict[str, Any], known: _Known, ctes: Relations, outer: Relations
) -> Iterator[tuple[str, Relation]]:
    """(alias, relation) of everything in a FROM clause."""
    kind = node.get("type")
    alias = (node.get("alias") or "").lower()
    renamed = node.get("column_name_alias") or []
    if kind == "JOIN":
        left = dict(_from(node["left"], known, ctes, outer))
        yield from left.items()
        yield from _from(node["right"], known, ctes, {**outer, **left})
    elif kind == "BASE_TABLE":
        name = node["table_name"].lower()
        schema = node.get("schema_name")
        made = known.relation(f"{schema}.{name}") if schema else ctes.get(name, Relation({}))
        yield alias or name, _renamed(made, renamed)
    elif kind == "SUBQUERY":
        made = _query(node["subquery"]["node"], known, ctes, outer)
        yield alias or f"subquery{id(node)}", _renamed(made, renamed)
    elif kind == "PIVOT":
        source = dict(_from(node["source"], known, ctes, outer))
        everything = _NOTHING.union(*(r.everything() for r in source.values()))
        kept = {c: s for r in source.values() for c, s in r.columns.items()}
        left_out = {u.lower() for u in node.get("unpivot_names") or []}
        yield (
            alias or "pivot",
            Relation({c: s for c, s in kept.items() if c not in left_out}, everything),
        )
    elif kind == "TABLE_FUNCTION":
        function = node["function"]
        given = _sources(function, known, ctes, outer, {})
        for text in texts(function.get("arguments")):
            made = known.relation(text) if "." in text else ctes.get(text.lower(), Relation({}))
            given |= made.everything()
        name = alias or function["function_name"].lower()
        yield name, Relation({c.lower(): given for c in renamed}, given)


def _star(
    item: dict[str, Any], here: Relations, known: _Known, ctes: Relations, outer: Relations
) -> dict[str, Sources]:
    """Columns of * and t.*, without those that EXCLUDE names, with those that REPLACE gives."""
    of = (item.get("relation_name") or "").lower()
    left_out = {_name(e) for e in item.get("exclude_list") or []}
    found: dict[str, Sources] = {}
    for alias, relation in here.items():
        if of in ("", alias):
            found = {c: s for c, s in relation.columns.items() if c not in left_out} | found
    for entry in item.get("replace_list") or []:
        found[entry["key"].lower()] = _sources(entry["value"], known, ctes, {**outer, **here}, {})
    return found


def _name(entry: Any) -> str:
    return (entry if isinstance(entry, str) else str(entry.get("column", ""))).lower()


def _sources(
    node: Any, known: _Known, ctes: Relations, scope: Relations, aliases: Mapping[str, Sources]
) -> Sources:
    """Sources of an expression; aliases are the select list's columns to the left of it."""
    if isinstance(node, list):
        return _NOTHING.union(*(_sources(n, known, ctes, scope, aliases) for n in node))
    if not isinstance(node, dict):
        return _NOTHING
    if node.get("class") == "COLUMN_REF":
        return _column([n.lower() for n in node["column_names"]], scope, aliases)
    if node.get("class") == "SUBQUERY":
        inner = _query(node["subquery"]["node"], known, ctes, scope)
        compared = _sources(node.get("child"), known, ctes, scope, aliases)
        return inner.everything() | compared
    return _sources(list(node.values()), known, ctes, scope, aliases)


def _column(names: list[str], scope: Relations, aliases: Mapping[str, Sources]) -> Sources:
    """A qualified name, else a column of whatever has it, else an alias; fields of structs too."""
    if len(names) > 1:
        relation = scope.get(names[-2]) or scope.get(names[0])
        if relation is not None:
            column = names[-1] if names[-2] in scope else names[1]
            return relation.of(column)
    first = names[0]
    listed = [r.columns[first] for r in scope.values() if first in r.columns]
    if listed:
        return _NOTHING.union(*listed)
    if first in aliases:
        return aliases[first]
    return _NOTHING.union(*(r.rest for r in scope.values()))


def texts(node: Any) -> Iterator[str]:
    """String constants among a function's arguments: a macro's relation is given so."""
    if isinstance(node, list):
        for item in node:
            yield from texts(item)
    elif isinstance(node, dict):
        if node.get("kind") == "STRING" and isinstance(node.get("text"), str):
            yield node["text"]
        for item in node.values():
            yield from texts(item)
