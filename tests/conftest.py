"""For every test: what collecting them made stays, so no test looks for garbage in it."""

import gc


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
