"""Who lives in the world: one row of traits per cloud account, drawn from its number alone.

Belongs here: the settings of a world, its presets, segments, sizes, plan choice, intent, the
randomised arms, who merges with whom, and the two clocks of a move (the plan's cure-Weibull and the
organic exponential).
Does not belong here: anything that happens on a day (requests.py, subscriptions.py, charges.py).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from pipelines.simulate import decoys
from pipelines.simulate.streams import F64, I64, Streams

NEVER = 1 << 20
"""A day after every world."""
LOOKBACK_DAYS = 180
LAG_DAYS = 3
WINDOW_DAYS = 28

REGIONS = ("domestic", "global")
INDUSTRIES = (
    "software",
    "games",
    "retail",
    "finance",
    "education",
    "manufacturing",
    "media",
    "health",
)
CHANNELS = ("organic", "ads", "sales", "partner", "campus")
ARCHETYPES = ("builder", "explorer", "maximiser", "tourist", "evaluator")
SIZES = ("solo", "small", "mid", "large")
PLANS = ("lite", "pro")
ARMS = ("holdout", "offer")
REACH_ARMS = ("holdout", "shown")
TRIAL_ARMS = ("control", "treatment")
CURRENCIES = ("CNY", "USD")
MODELS = (
    "qwen3.5-plus",
    "qwen3-coder-plus",
    "glm-5",
    "kimi-k2.5",
    "MiniMax-M2.5",
    "qwen3-coder-next",
    "qwen3-max-2026-01-23",
    "glm-4.7",
)
TASKS = ("chat", "edit", "agent", "test", "review", "infra", "deploy")

_INDUSTRY_SHARE = (0.34, 0.12, 0.13, 0.09, 0.10, 0.09, 0.08, 0.05)
_CHANNEL_SHARE = (0.42, 0.22, 0.10, 0.12, 0.14)
_CHANNEL_LIFT = np.array([1.0, 0.80, 1.15, 1.10, 0.85])
_CHANNEL_IOTA = np.array([0.0, 0.45, 0.6, 0.7, 0.35])
"""Of the accounts that a channel brought, the share that would never have come without it."""
_ARCHETYPE_SHARE = (0.38, 0.33, 0.012, 0.135, 0.14)
_SIZE_SHARE = (0.46, 0.33, 0.16, 0.05)
_SIZE_LOW = np.array([1, 2, 6, 21])
_SIZE_HIGH = np.array([1, 5, 20, 48])
_MODEL_SHARE = (0.30, 0.24, 0.12, 0.10, 0.08, 0.08, 0.05, 0.03)

# By archetype: builder, explorer, maximiser, tourist, evaluator.
_MOVES_SHARE = np.array([0.47, 0.25, 0.14, 0.06, 0.12])
_MOVE_SCALE_DAYS = np.array([58.0, 78.0, 90.0, 60.0, 70.0])
_MOVE_SHAPE = np.array([1.3, 1.2, 1.2, 1.1, 1.2])
_MEDIAN_RATE = np.array([4.6, 3.8, 15.0, 3.8, 3.8])
_ACTIVE = np.array([0.66, 0.50, 0.85, 0.42, 0.52])
_SPAN_DAYS = np.array([NEVER, NEVER, NEVER, 24, 45])
KEEP_FIRST = np.array([0.86, 0.74, 0.86, 0.35, 0.32])
KEEP_LATER = np.array([0.93, 0.86, 0.93, 0.60, 0.60])
_UPGRADES = np.array([0.14, 0.08, 0.0, 0.01, 0.03])
RETAINING_MODEL = "qwen3-coder-plus"
"""The model whose users renew more, where a world plants a model effect."""
_MERGE_SHARE = 0.35
_MERGE_RECORDED_WITHIN_DAYS = 40
_SPLIT_SHARE = 0.02
_ORGANIC_PER_DAY = 0.00045
_RATE_LOG_SD = 1.15
_RATE_BY_MEMBERS = 0.75
_ENROL_DAYS = 365
LITELLM_SHARE = 0.04
LITELLM_TEAMS = 5_000
"""Only the first accounts may sit behind a LiteLLM proxy: JSON text would dwarf a large world."""
USD_SHARE_OF_GLOBAL = 0.8
NO_EFFECTIVE_SHARE = 0.10


@dataclass(frozen=True)
class Preset:
    """What makes a named world different from `healthy`."""

    plan_effect: float = 1.0
    organic: float = 1.0
    rate: float = 1.0
    rate_growth_per_day: float = 0.0
    charge_growth: float = 1.0
    workloads_end: float = 0.25
    """Workloads that end some day, after about half a year."""
    maximiser_lift: float = 1.0
    intent: float = 0.5
    channel_effect: float = 1.0
    """Multiplies the share of a channel's accounts that it alone brought."""
    trial_effect: float = 0.2
    """The trial's treatment multiplies the share moved by the plan by 1 + this, its control by 1 -
    this."""
    model_log_odds: float = 0.0
    """Added to the log-odds of renewing for who mainly calls the retaining model."""
    has_maximisers: bool = True
    """Whether maximisers set out to use their whole quota; else they call as they need."""
    intense_share: float = 0.02
    """Builders and explorers on Lite that use half their quota or more in their first two months."""
    has_broken_split: bool = False
    """Whether the log of the price test loses a part of one arm."""
    heavy_share: float = 0.0
    heavy_rate: float = 420.0
    renewal: str = "traits"
    """Who renews: by traits alone; by the chain of moods; by a logit of demand and refusals."""
    quota_log_odds: float = 0.0
    has_slow_frustrated: bool = True
    """Whether a frustrated team (chain) also moves more slowly."""


PRESETS: dict[str, Preset] = {
    "healthy": Preset(model_log_odds=np.log(3.0)),
    "trap": Preset(
        plan_effect=0.15,
        organic=0.15,
        rate=0.5,
        rate_growth_per_day=np.log(10.0) / 365,
        charge_growth=0.0,
        workloads_end=0.9,
        maximiser_lift=1.5,
        has_maximisers=False,
        intense_share=0.0,
    ),
    "quota-squeeze": Preset(
        heavy_share=0.12, heavy_rate=650.0, renewal="chain", quota_log_odds=np.log(3.0)
    ),
    "null": Preset(plan_effect=0.0, organic=2.0, intent=0.0, channel_effect=0.0, trial_effect=0.0),
    "confounded": Preset(
        intent=1.2,
        has_broken_split=True,
        heavy_share=0.20,
        heavy_rate=330.0,
        renewal="logit",
        quota_log_odds=np.log(2.0),
    ),
}
EFFECTS: dict[str, dict[str, Any]] = {
    "plan": {"plan_effect": 0.0, "trial_effect": 0.0},
    "quota": {"quota_log_odds": 0.0, "has_slow_frustrated": False},
    "model": {"model_log_odds": 0.0},
}
"""What a world without an effect sets to nothing."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides a world's bytes."""

    teams: int
    days: int
    seed: int
    start: date
    dirt: float
    intent: float
    world: str
    stripe_share: float = 0.15
    """Teams whose subscription comes as Stripe webhooks instead of canonical rows."""
    scale: float = 1.0
    """Multiplies every team's rate; set from the wanted rows a day."""
    without: tuple[str, ...] = ()
    """Effects of the named world that are switched off (EFFECTS)."""

    @property
    def preset(self) -> Preset:
        """The named world, less what was switched off."""
        made = PRESETS[self.world]
        for name in self.without:
            made = replace(made, **EFFECTS[name])
        return made

    @property
    def has_quotas(self) -> bool:
        """Whether demand meets the quotas of feedback.py."""
        return self.preset.renewal != "traits"

    @property
    def streams(self) -> Streams:
        """The random numbers of this world."""
        return Streams(self.seed)

    def on(self, day: int) -> date:
        """The calendar day of a day number (day 0 is `start`)."""
        return self.start + timedelta(days=int(day))


@dataclass(frozen=True)
class Teams:
    """Traits of a range of accounts, one array element each; days are day numbers."""

    index: I64
    region: NDArray[np.int8]
    industry: NDArray[np.int8]
    channel: NDArray[np.int8]
    archetype: NDArray[np.int8]
    members: NDArray[np.int32]
    size: NDArray[np.int8]
    first_plan: NDArray[np.int8]
    currency: NDArray[np.int8]
    intent: F64
    arm: NDArray[np.int8]
    reach_arm: NDArray[np.int8]
    trial_arm: NDArray[np.int8]
    price_arm: NDArray[np.int8]
    is_brought: NDArray[np.bool_]
    """Whether the account exists for its channel alone."""
    is_missing: NDArray[np.bool_]
    """Brought by its channel alone, and held out from it: it never acts."""
    eligible_on: I64
    takes_by_arm: NDArray[np.bool_]
    """Whether it takes the plan under each arm of the offer (holdout, offer)."""
    takes_plan: NDArray[np.bool_]
    subscribed_on: I64
    cycles: I64
    upgrade_cycle: I64
    decoy: NDArray[np.int8]
    rate: F64
    is_heavy: NDArray[np.bool_]
    fills: F64
    """Share of the Lite month's quota that it sets out to use in its first `fills_cycles` months;
    0 for who just calls as it needs."""
    fills_cycles: I64
    active_share: F64
    first_call_lag: I64
    span_days: I64
    session_length: NDArray[np.int32]
    models: NDArray[np.int8]
    is_retained: NDArray[np.bool_]
    """Whether the retaining model is among its first two."""
    is_litellm: NDArray[np.bool_]
    is_stripe: NDArray[np.bool_]
    has_effective: NDArray[np.bool_]
    moves_share: F64
    move_scale_days: F64
    move_shape: F64
    organic_per_day: F64
    plan_wait_days: F64
    organic_wait_days: F64
    merged_on: I64
    """The day from which an absorbed team's rows belong to the team before it."""
    absorbs_on: I64
    """The same day for that other team, the survivor; NEVER for everybody else."""
    closes_cloud: NDArray[np.bool_]
    """Absorbed teams whose own workloads end with the merge."""
    split_on: I64
    """The day from which a part of the team goes its own way with its second account."""

    def __len__(self) -> int:
        return len(self.index)

    def take(self, where: NDArray[Any]) -> Self:
        """The same traits for some of the teams."""
        return replace(self, **{f.name: getattr(self, f.name)[where] for f in fields(self)})


def team_id(index: int) -> str:
    """The public id of a team."""
    return f"team-{index:07d}"


def account_id(index: int) -> str:
    """The cloud main account of a team: sixteen digits, as Alibaba Cloud prints them."""
    return f"1{(index * 7_919 + 104_729) % 10_000_019:08d}{index:07d}"


def second_account_id(index: int) -> str:
    """The account that some teams turn out to have as well."""
    return f"2{account_id(index)[1:]}"


def offshoot_id(index: int) -> str:
    """The team that a split leaves with the second account."""
    return f"{team_id(index)}-b"


def _choose(u: F64, shares: tuple[float, ...] | F64) -> NDArray[np.int8]:
    edges = np.cumsum(np.asarray(shares, dtype=np.float64))
    return np.minimum(np.searchsorted(edges / edges[-1], u), len(shares) - 1).astype(np.int8)


def with_odds(share: F64, log_odds: F64) -> F64:
    """A share whose log-odds are moved."""
    odds = share / (1.0 - share) * np.exp(log_odds)
    return np.asarray(odds / (1.0 + odds))


def channel_iota(settings: Settings) -> F64:
    """By channel: the share of its accounts that would never have come without it."""
    return np.asarray(settings.preset.channel_effect * _CHANNEL_IOTA)


def trial_factor(settings: Settings, arm: NDArray[np.int8] | int) -> F64:
    """What an arm of the trial multiplies the share moved by the plan by."""
    return np.asarray(1.0 + settings.preset.trial_effect * (2.0 * np.asarray(arm) - 1.0))


def build(settings: Settings, first: int, last: int) -> Teams:
    """The accounts first..last-1 of a world."""
    even = first - first % 2
    made = _merged(settings, _alone(settings, even, last + last % 2))
    return made.take(np.arange(first - even, last - even))


def _merged(settings: Settings, teams: Teams) -> Teams:
    """Some pairs of neighbours (2k, 2k + 1) merge while both hold the plan: the second is absorbed.

    The survivor has no own reason to be taken for a mover by what it inherits: the absorbed team's
    workloads end with the merge, unless the survivor is a standing customer. So both closed forms
    stay exact, and the day of the merge (drawn apart) censors the absorbed team at random.
    """
    one, other = teams.take(np.arange(0, len(teams), 2)), teams.take(np.arange(1, len(teams), 2))
    s = settings.streams
    wait = 35 + np.floor(70 * s.uniform("merge day", other.index)).astype(np.int64)
    on = np.maximum(one.subscribed_on, other.subscribed_on) + wait
    merges = s.uniform("merges", other.index) < _MERGE_SHARE
    merges &= one.takes_plan & other.takes_plan & (other.index < settings.teams)
    merges &= np.isin(one.decoy, [0, decoys.CODE["native"]]) & (other.decoy == 0)
    merges &= (one.fills == 0) & (other.fills == 0) & (not settings.has_quotas)
    for team in (one, other):  # a cycle has 28 days or more: the plan surely runs on the day
        merges &= team.subscribed_on + 28 * team.cycles > on
    day = np.where(merges, on, NEVER)
    never = np.full(len(day), NEVER)
    closes = merges & (one.decoy == 0)
    return replace(
        teams,
        merged_on=np.stack([never, day], axis=1).reshape(-1),
        absorbs_on=np.stack([day, never], axis=1).reshape(-1),
        closes_cloud=np.stack([np.zeros_like(closes), closes], axis=1).reshape(-1),
        split_on=np.where(np.repeat(merges, 2), NEVER, teams.split_on),
    )


def merge_recorded_on(settings: Settings, teams: Teams) -> I64:
    """The day on which an absorbed team's merge is recorded: up to weeks after it."""
    wait = _MERGE_RECORDED_WITHIN_DAYS * settings.streams.uniform("merge lag", teams.index) ** 2
    return np.asarray(teams.merged_on + np.floor(wait).astype(np.int64))


def _alone(settings: Settings, first: int, last: int) -> Teams:
    s, preset = settings.streams, settings.preset
    i = np.arange(first, last, dtype=np.int64)

    def u(purpose: str) -> F64:
        return s.uniform(purpose, i)

    region = (u("region") < 0.24).astype(np.int8)
    channel = _choose(u("channel"), _CHANNEL_SHARE)
    shares = np.array(_ARCHETYPE_SHARE)
    shares[2] *= preset.maximiser_lift
    archetype = _choose(u("archetype"), shares)
    size = _choose(u("size"), _SIZE_SHARE)
    span = _SIZE_HIGH[size] - _SIZE_LOW[size] + 1
    members = (_SIZE_LOW[size] + np.floor(u("members") * span)).astype(np.int32)
    first_plan = (u("plan") < np.array([0.12, 0.22, 0.45, 0.8])[size]).astype(np.int8)
    first_plan[archetype == 2] = 0  # who only takes takes the cheapest

    eligible = np.where(
        u("enrol tail") < 0.04,
        _ENROL_DAYS - np.log(u("enrol")) * 180.0,
        _ENROL_DAYS * u("enrol") ** 1.4,
    )
    eligible_on = np.floor(np.minimum(eligible, NEVER / 4)).astype(np.int64)
    intent = ndtri(u("intent"))
    arm = (u("arm") < 0.85).astype(np.int8)
    logit = np.array([0.2, 2.6])[None, :] + (settings.intent * intent)[:, None]
    takes_by_arm = u("takes plan")[:, None] < 1.0 / (1.0 + np.exp(-logit))
    reach_arm = (u("reach arm") < 0.5).astype(np.int8)
    is_brought = u("is brought") < channel_iota(settings)[channel]
    is_missing = is_brought & (channel == CHANNELS.index("ads")) & (reach_arm == 0)
    takes_by_arm &= ~is_missing[:, None]
    takes_plan = np.take_along_axis(takes_by_arm, arm[:, None].astype(np.intp), 1)[:, 0]

    decoy = decoys.assign(u("decoy"))
    decoy[(decoy == decoys.CODE["dormant"]) & (eligible_on < decoys.DORMANT_MIN_DAY)] = 0
    # What an account does on its own cloud is its own, whether or not it takes the plan.
    never_moves = decoys.NEVER_MOVES[decoy] | is_missing
    is_past = decoys.with_bill(decoys.Bill.STANDING, decoys.Bill.RECENT, decoys.Bill.RUSH)[decoy]
    decoy[(~takes_plan & ~is_past) | is_missing] = 0
    is_decoy_calls = decoys.with_calls(
        decoys.Calls.STEADY,
        decoys.Calls.TWO_A_DAY,
        decoys.Calls.SPARSE,
        decoys.Calls.FAILING,
    )[decoy]

    order = np.stack([_choose(u(f"model {k}"), _MODEL_SHARE) for k in range(3)], axis=1)
    is_retained = (order[:, :2] == MODELS.index(RETAINING_MODEL)).any(axis=1)
    # Centred, so that a world without the effect keeps about as many teams.
    of_all = 1.0 - (1.0 - _MODEL_SHARE[MODELS.index(RETAINING_MODEL)]) ** 2
    lift = preset.model_log_odds * (is_retained - of_all)
    keep_first, keep_later = (
        with_odds(np.where(is_decoy_calls, 0.95, by_archetype[archetype]), lift)
        for by_archetype in (KEEP_FIRST, KEEP_LATER)
    )
    later = 1 + np.floor(np.log(u("later cycles")) / np.log(keep_later))
    cycles = np.where(u("first renewal") < keep_first, 1 + later, 1).astype(np.int64)
    upgrades = (u("upgrades") < _UPGRADES[archetype]) & (first_plan == 0)
    upgrade_cycle = np.where(upgrades, 1 + np.floor(3 * u("upgrade cycle")), NEVER).astype(np.int64)

    rate = (
        _MEDIAN_RATE[archetype]
        * members**_RATE_BY_MEMBERS
        * np.exp(_RATE_LOG_SD * ndtri(u("rate")))
        * preset.rate
        * settings.scale
    )
    heavy = u("heavy") < preset.heavy_share
    rate = np.where(heavy, preset.heavy_rate * np.exp(0.7 * ndtri(u("heavy rate"))), rate)
    first_plan[heavy] = 0
    is_natural = ~is_decoy_calls & ~decoys.with_calls(decoys.Calls.ONE_WEEK)[decoy]
    is_intense = (archetype <= 1) & (u("intense") < preset.intense_share) & (first_plan == 0)
    is_maximiser = (archetype == 2) & preset.has_maximisers
    is_filler = is_natural & (is_maximiser | is_intense) & (not settings.has_quotas)
    fills = np.where(archetype == 2, 0.93 + 0.12 * u("fills"), 0.55 + 0.4 * u("fills"))
    fills_cycles = np.where(archetype == 2, 2 + np.floor(2 * u("fills cycles")), 2)
    trial_arm = (u("trial arm") < 0.5).astype(np.int8)
    scale = settings.preset.organic * np.exp(settings.intent * intent - settings.intent**2 / 2)
    organic_per_day = _ORGANIC_PER_DAY * scale
    trial = trial_factor(settings, trial_arm)
    moves_share = np.minimum(
        0.95, preset.plan_effect * trial * _MOVES_SHARE[archetype] * _CHANNEL_LIFT[channel]
    )
    moves_share[never_moves] = 0.0
    organic_per_day[never_moves] = 0.0
    shape, weibull_scale = _MOVE_SHAPE[archetype], _MOVE_SCALE_DAYS[archetype]
    wait = weibull_scale * (-np.log(u("plan wait"))) ** (1.0 / shape)
    plan_wait = np.where(u("is moved by plan") < moves_share, wait, np.inf)
    with np.errstate(divide="ignore"):
        organic_wait = -np.log(u("organic wait")) / organic_per_day
    is_gateway_only = decoys.IS_OFF_PLAN[decoy] | (archetype == 2)
    return Teams(
        index=i,
        region=region,
        industry=_choose(u("industry"), _INDUSTRY_SHARE),
        channel=channel,
        archetype=archetype,
        members=members,
        size=size,
        first_plan=first_plan,
        currency=((region == 1) & (u("currency") < USD_SHARE_OF_GLOBAL)).astype(np.int8),
        intent=intent,
        arm=arm,
        reach_arm=reach_arm,
        trial_arm=trial_arm,
        price_arm=(u("price arm") < 0.5).astype(np.int8),
        is_brought=is_brought,
        is_missing=is_missing,
        eligible_on=eligible_on,
        takes_by_arm=takes_by_arm,
        takes_plan=takes_plan,
        subscribed_on=np.where(takes_plan, eligible_on, NEVER),
        cycles=cycles,
        upgrade_cycle=upgrade_cycle,
        decoy=decoy,
        rate=rate,
        is_heavy=heavy,
        fills=np.where(is_filler, fills, 0.0),
        fills_cycles=fills_cycles.astype(np.int64),
        active_share=_ACTIVE[archetype] * np.exp(0.15 * ndtri(u("active share"))),
        first_call_lag=np.floor(6 * u("first call") ** 2).astype(np.int64),
        span_days=_SPAN_DAYS[archetype].astype(np.int64),
        session_length=(8 + np.floor(u("session length") * 24)).astype(np.int32),
        models=order,
        is_retained=is_retained,
        is_litellm=(u("is litellm") < LITELLM_SHARE) & (i < LITELLM_TEAMS) & ~is_gateway_only,
        is_stripe=u("is stripe") < settings.stripe_share,
        has_effective=(u("has effective") >= NO_EFFECTIVE_SHARE)
        | (decoy == decoys.CODE["plan_fee"]),
        moves_share=moves_share,
        move_scale_days=weibull_scale,
        move_shape=shape,
        organic_per_day=organic_per_day,
        plan_wait_days=plan_wait,
        organic_wait_days=organic_wait,
        merged_on=np.full(len(i), NEVER),
        absorbs_on=np.full(len(i), NEVER),
        closes_cloud=np.zeros(len(i), dtype=bool),
        split_on=np.where(
            takes_plan & (u("splits") < _SPLIT_SHARE),
            eligible_on + 60 + np.floor(90 * u("split day")).astype(np.int64),
            NEVER,
        ),
    )
