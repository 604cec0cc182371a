"""Writes the transitive pins into pyproject.toml: python -m tests.pins, after uv lock --upgrade.

Belongs here: reading uv.lock for names and versions. Addresses are left behind: the lock file
itself names download hosts and is not committed.
"""

import re
import tomllib

from pipelines.settings import CHECKOUT

_BLOCK = re.compile(r"(?s)(\[tool\.uv\]\n.*?constraint-dependencies = \[\n).*?(\n\])")


def main() -> None:
    project = CHECKOUT / "pyproject.toml"
    text = project.read_text("utf-8")
    lock = tomllib.loads((CHECKOUT / "uv.lock").read_text("utf-8"))
    direct = set(re.findall(r'"([a-z0-9-]+)(?:\[[a-z]+\])?[=<>]=?', text.partition("[tool.uv]")[0]))
    pins = sorted(
        f'    "{p["name"]}=={p["version"]}",'
        for p in lock["package"]
        if p["name"] not in direct | {"cloudbound"}
    )
    project.write_text(_BLOCK.sub(lambda m: m[1] + "\n".join(pins) + m[2], text), "utf-8")


if __name__ == "__main__":
    main()
