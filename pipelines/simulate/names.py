"""Names that people read: companies, projects and cities, in Chinese and English.

Belongs here: small pools drawn once with Faker and shared by all teams, whole addresses of offices
among them.
Does not belong here: ids, numbers, or anything the metric reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from faker import Faker
from numpy.typing import NDArray

from pipelines.simulate.streams import I64

_POOL = 400


@dataclass(frozen=True)
class Names:
    """Pools of names: companies and offices for each region (zh_CN, en_US), and projects."""

    company_pools: tuple[pl.Series, pl.Series]
    office_pools: tuple[pl.Series, pl.Series]
    project_pool: pl.Series

    def companies(self, index: I64, region: NDArray[np.int8]) -> pl.Series:
        """The company of each team, in the language of its region."""
        return _by_region(self.company_pools, (index * 2_654_435_761) % _POOL, region)

    def offices(self, index: I64, region: NDArray[np.int8]) -> pl.Series:
        """The street address of each team's office, in the language of its region."""
        return _by_region(self.office_pools, (index * 97_561) % _POOL, region)

    def projects(self, index: I64) -> pl.Series:
        """The project that a team's workloads belong to."""
        return self.project_pool.gather((index * 40_503) % _POOL)


def _by_region(
    pools: tuple[pl.Series, pl.Series], place: I64, region: NDArray[np.int8]
) -> pl.Series:
    domestic, abroad = (pool.gather(place) for pool in pools)
    return abroad.zip_with(pl.Series(region == 1), domestic)


@lru_cache(maxsize=4)
def names(seed: int) -> Names:
    """The pools of a world."""
    chinese, english = Faker("zh_CN"), Faker("en_US")
    chinese.seed_instance(seed)
    english.seed_instance(seed + 1)
    return Names(
        (
            pl.Series([f"{chinese.company()} ({chinese.city_name()})" for _ in range(_POOL)]),
            pl.Series([f"{english.company()} ({english.city()})" for _ in range(_POOL)]),
        ),
        (
            pl.Series([chinese.address() for _ in range(_POOL)]),
            pl.Series([english.address().replace("\n", ", ") for _ in range(_POOL)]),
        ),
        pl.Series(
            [f"{english.domain_word()}-{english.color_name().lower()}" for _ in range(_POOL)]
        ),
    )
