"""docs/report.png, the picture of the README: python -m tests.browser.picture [DATA].

Belongs here: what part of the report the picture shows. DATA is a folder that the demo filled.
"""

import sys
import tempfile
from pathlib import Path

from pipelines.report import writing
from pipelines.settings import CHECKOUT, Settings
from tests.browser.chromium import chromium

PICTURE = CHECKOUT / "docs" / "report.png"
_SHOWN = ["number", "outcomes", "curve", "segments", "naive"]


def main(data: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.html"
        writing.write(Settings(data=data, reference=CHECKOUT / "data" / "reference"), out)
        with chromium() as browser:
            shown = browser.new_page(viewport={"width": 1060, "height": 900})
            shown.goto(out.as_uri())
            keep = ", ".join(f"#{name}" for name in _SHOWN)
            shown.add_style_tag(
                content=f"nav, details, .badge {{ display: none }} "
                f"main > :not({keep}) {{ display: none }} section {{ margin-top: 1.2rem }}"
            )
            shown.locator("#segments select").select_option("channel")
            shown.locator("main").screenshot(path=PICTURE)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data").resolve())
