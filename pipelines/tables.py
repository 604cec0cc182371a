"""The documented tables that Python fills: facts, reference and operations.

Belongs here: name, sentence, grain, columns and checks of each table that no .sql file makes.
Does not belong here: how they are filled (rollup/, night.py), tables made by SQL (their header).
"""

from dataclasses import dataclass

from pipelines.sql_assets import Check


@dataclass(frozen=True)
class Table:
    """What a .sql header says, for a table that Python fills."""

    name: str
    description: str
    grain: str
    columns: dict[str, str]
    checks: tuple[Check, ...] = ()


def _stop(sentence: str, condition: str) -> Check:
    return Check(sentence, condition, stops=True)


def _warn(sentence: str, condition: str) -> Check:
    return Check(sentence, condition, stops=False)


_TOKENS = {
    "input_tokens": "Input tokens of the accepted requests, cached ones included.",
    "cached_tokens": "Of those, tokens served from the prompt cache.",
    "output_tokens": "Output tokens of the accepted requests.",
}

MEMBER_DAYS = Table(
    "fact.member_days",
    "Requests on the plan by member and business day, each counted once per (source, request id).",
    "usage_on, team_id, member_id",
    {
        "usage_on": "Business day of requested_at in the operating zone.",
        "team_id": "Team that the source's id belonged to on that day.",
        "member_id": "Member within the team, '' where the source names none.",
        "accepted": "Requests on the plan with status ok.",
        "refused_5h": "Requests refused by the 5-hour quota.",
        "refused_week": "Requests refused by the weekly quota.",
        "refused_month": "Requests refused by the monthly quota.",
        "refused_other": "Requests refused by a quota that the source doesn't name.",
        "throttled": "Requests refused by a rate limit, not by a quota.",
        "failed": "Requests that failed.",
        "off_plan": "Requests with a pay-as-you-go key: never activity on the plan.",
        **_TOKENS,
    },
    (
        _stop(
            "every member day has a team and a day",
            "team_id is not null and usage_on is not null",
        ),
        _stop("counts are not negative", "accepted >= 0 and failed >= 0 and off_plan >= 0"),
        _stop("cached tokens are part of the input", "cached_tokens <= input_tokens"),
        _stop(
            "every refusal of a day is in one of its hours",
            "(select coalesce(sum(b.refused_5h + b.refused_week + b.refused_month + "
            "b.refused_other), 0) from fact.blocked_hours as b) = (select sum(d.refused_5h + "
            "d.refused_week + d.refused_month + d.refused_other) from fact.member_days as d)",
        ),
    ),
)
USAGE_DAYS = Table(
    "fact.usage_days",
    "Requests on the plan by team, model, task and business day, with what their tokens cost.",
    "usage_on, team_id, model, task",
    {
        "usage_on": "Business day of requested_at in the operating zone.",
        "team_id": "Team that the source's id belonged to on that day.",
        "model": "Model that served the request.",
        "task": "Task as the source names it, 'unclassified' where it names none.",
        "accepted": "Requests on the plan with status ok.",
        "refused": "Requests refused by any quota.",
        **_TOKENS,
        "inference_cny": "Tokens at the dated price of models.csv, by input length; 0 without a price.",
    },
    (
        _warn(
            "every model has a price",
            "inference_cny > 0 or accepted = 0 or input_tokens + output_tokens = 0",
        ),
    ),
)
BLOCKED_HOURS = Table(
    "fact.blocked_hours",
    "Hours in which a quota refused a team's request: which limits, and how often.",
    "usage_on, team_id, hour_at",
    {
        "usage_on": "Business day of requested_at in the operating zone.",
        "team_id": "Team that the source's id belonged to on that day.",
        "hour_at": "Start of the hour (UTC).",
        "refused_5h": "Requests refused by the 5-hour quota.",
        "refused_week": "Requests refused by the weekly quota.",
        "refused_month": "Requests refused by the monthly quota.",
        "refused_other": "Requests refused by a quota that the source doesn't name.",
    },
    (
        _stop(
            "an hour is blocked only by a refusal",
            "refused_5h + refused_week + refused_month + refused_other > 0",
        ),
    ),
)
CHARGE_DAYS = Table(
    "fact.charge_days",
    "Every accepted charge by team, provider, family and business day: workloads and all the rest.",
    "usage_on, team_id, provider, family, currency, source, is_linked",
    {
        "usage_on": "Business day of usage; a longer charge is split into equal parts.",
        "team_id": "Team of the sub-account, else of the account, else the account itself.",
        "provider": "Provider as the export names it.",
        "family": "deploy, storage, database, observability (workloads), or plan_fee, "
        "model_inference, support, tax, network, credit, other and so on.",
        "currency": "Billing currency.",
        "source": "Landing source of the export.",
        "is_linked": "Whether an account link named the team.",
        "billed": "BilledCost in the billing currency, exact.",
        "effective": "EffectiveCost in the billing currency, exact.",
        "net_cny": "Cost on the statement's basis, less credits without a service, in CNY.",
    },
    (
        _stop(
            "every charge day has an amount",
            "billed is not null and net_cny is not null",
        ),
    ),
)
SUBSCRIPTIONS = Table(
    "fact.subscriptions",
    "Events of the plan, one per (source, event id).",
    "source, event_id",
    {
        "source": "Landing source.",
        "event_id": "The source's id of the event.",
        "team_id": "Team that the source's id belonged to on that day.",
        "plan": "Plan as the source names it.",
        "event": "started, renewed, upgraded, downgraded, cancelled, ended, refunded or payment_failed.",
        "occurred_at": "When it happened (UTC).",
        "occurred_on": "Its business day.",
        "period_start_on": "Business day on which the paid period starts.",
        "period_end_on": "Business day on which it ends (exclusive).",
        "list_amount": "List price.",
        "net_amount": "Price paid.",
        "currency": "Currency of both.",
        "promotion": "Promotion as the source names it.",
        "file": "File that fed the row.",
        "line": "Line of that file.",
    },
)
TEAMS = Table(
    "fact.teams",
    "What the directory knows of a team.",
    "team_id",
    {
        "team_id": "The team.",
        "region": "Region, as domestic or global.",
        "industry": "Industry.",
        "channel": "Acquisition channel.",
        "opened_at": "When the account was opened (UTC).",
    },
)
ASSIGNMENTS = Table(
    "fact.assignments",
    "Assignments of teams to the arms of experiments, the first one per team and experiment.",
    "team_id, experiment",
    {
        "team_id": "The team.",
        "experiment": "Name of the experiment.",
        "arm": "Arm that the team was assigned to.",
        "assigned_at": "When (UTC).",
    },
)
CHANNEL_COSTS = Table(
    "fact.channel_costs",
    "What each acquisition channel cost in a month.",
    "month_on, channel, currency",
    {
        "month_on": "First day of the month.",
        "channel": "Acquisition channel.",
        "spend": "Cost in the currency.",
        "currency": "Currency.",
    },
)
TEAM_SPANS = Table(
    "ref.team_spans",
    "Which team a source's id belongs to, day by day: account links resolved on both clocks.",
    "source, source_id, from_on",
    {
        "source": "Landing source whose ids these are.",
        "source_id": "The source's id.",
        "team_id": "The team.",
        "from_on": "First business day.",
        "to_on": "Day after the last, null while it holds.",
    },
)
IDENTITY_STRETCHES = Table(
    "ref.identity_stretches",
    "The history of every id that a link touches, and of the ids that keep a linked team alive.",
    "source, account, sub_account, from_on",
    {
        "source": "Landing source.",
        "account": "Account, or the team as the source names it.",
        "sub_account": "Sub-account, null where there is none.",
        "team_id": "Team that it belongs to from then on.",
        "from_on": "First business day, null: ever since.",
        "is_linked": "Whether a link says so; otherwise the account itself is the team.",
    },
)
COVERAGE = Table(
    "ref.coverage",
    "From which day each charge source's history reaches: its earliest charge day.",
    "source",
    {"source": "Landing source.", "starts_on": "First business day with a charge."},
)
CLOCK = Table(
    "ops.clock",
    "The two clocks of the print: data (as-of) and knowledge (known-at).",
    "one row",
    {
        "as_of": "A, exclusive.",
        "known_at": "K; null = everything recorded.",
        "data_complete_on": "C = A - lag - window, the last decidable day.",
        "last_request_on": "Newest business day with a request.",
        "last_charge_on": "Newest business day with a charge.",
        "definition": "Hash of the definition.",
        "reference": "Hash of the reference files.",
    },
    (
        _warn("a request log has been seen", "last_request_on is not null"),
        _warn("a cloud bill has been seen", "last_charge_on is not null"),
        _warn(
            "a plan event has been seen",
            "exists (select 1 from fact.subscriptions)",
        ),
    ),
)
DEFINITION = Table(
    "ops.definition",
    "Every parameter of the metric behind these numbers.",
    "name",
    {"definition": "Hash.", "name": "Parameter.", "value": "Its value, as text."},
)
FILES = Table(
    "ops.files",
    "What became of the rows of each delivered file: they always add up.",
    "file",
    {
        "file": "Source and name of the file below landing.",
        "source": "Landing source.",
        "family": "requests, subscriptions, charges, account_links and so on; unknown when unreadable.",
        "format": "Adapter that read it.",
        "because": "Why that adapter.",
        "snapshot": "Snapshot folder of a charge source.",
        "sha256": "Hash of its bytes.",
        "fingerprint": "Name of its rows in the lake.",
        "rows_read": "Rows in the file.",
        "accepted": "Rows that count.",
        "rejected": "Rows that can't be used, see ops.rejects.",
        "superseded": "Rows of a statement that a newer snapshot replaced, or of an older event.",
        "duplicate": "Rows delivered before, in this file or another.",
        "loaded_at": "When the file was recorded (UTC).",
        "warnings": "What its source should have done otherwise; the rows count all the same.",
    },
    (
        _stop(
            "rows read are accepted, rejected, superseded or duplicate",
            "rows_read = accepted + rejected + superseded + duplicate",
        ),
        _stop(
            "no count is negative",
            "least(accepted, rejected, superseded, duplicate) >= 0",
        ),
        _warn("every file could be read", "family <> 'unknown'"),
        _warn("no row was rejected", "rejected = 0"),
    ),
)
REJECTS = Table(
    "ops.rejects",
    "Rows that the metric can't use, each with its reason.",
    "file, line, reason, currency",
    {
        "file": "Source and name of the file.",
        "line": "Line or row number in it, 0 for the whole file.",
        "reason": "Why.",
        "row": "The row as it stood, as JSON text.",
        "currency": "Currency of a charge, where it can be read; a whole file has a row for each.",
        "billed": "BilledCost of a charge, where it can be read.",
        "effective": "EffectiveCost of a charge, where it can be read.",
    },
)
UNALLOCATED_CREDITS = Table(
    "ops.unallocated_credits",
    "Credits without a service, and what no positive row of their account and period could take.",
    "source, account, sub_account, currency, charge_starts_on, credit",
    {
        "source": "Landing source.",
        "account": "Billing account.",
        "sub_account": "Sub-account, when the credit names one.",
        "currency": "Currency.",
        "charge_starts_on": "First day of the credit's charge period.",
        "credit": "The credit (negative).",
        "unallocated": "What is left of it.",
    },
    (
        _stop(
            "a credit is not spread twice",
            "unallocated between credit - 0.000001 and 0.000001",
        ),
    ),
)
UNMAPPED_SERVICES = Table(
    "ops.unmapped_services",
    "Services that services.csv doesn't know, by spend: family other, never a workload.",
    "provider, service, category",
    {
        "provider": "Provider.",
        "service": "Service name.",
        "category": "Service category of the export.",
        "net_cny": "Net of all days.",
    },
    (_warn("no unknown service costs anything", "net_cny = 0"),),
)
MONEY = Table(
    "ops.money",
    "Money in the charge files as they were read, and what became of it, to the last digit.",
    "source, currency",
    {
        "source": "Landing source.",
        "currency": "Currency, '' where a row names none.",
        "billed_in": "Sum of BilledCost of every row read in which it is a number.",
        "billed": "Sum of billed in fact.charge_days.",
        "billed_rejected": "Sum of billed in ops.rejects.",
        "billed_superseded": "Of statements that a newer snapshot replaced.",
        "effective_in": "Sum of EffectiveCost of every row read in which it is a number.",
        "effective": "Sum of effective in fact.charge_days.",
        "effective_rejected": "Sum of effective in ops.rejects.",
        "effective_superseded": "Of statements that a newer snapshot replaced.",
        "billed_forgotten": "Of ops.forgotten_money.",
        "effective_forgotten": "Of ops.forgotten_money.",
    },
    (
        _stop(
            "money in is money in the facts, rejected, superseded or forgotten, exactly",
            "billed_in = billed + billed_rejected + billed_superseded + billed_forgotten "
            "and effective_in = effective + effective_rejected + effective_superseded "
            "+ effective_forgotten",
        ),
        _warn("no money was rejected", "billed_rejected = 0 and effective_rejected = 0"),
    ),
)
FORGOTTEN_MONEY = Table(
    "ops.forgotten_money",
    "Money of forgotten teams in charge files that are no longer kept: it was read, and the facts no longer hold it.",
    "one row for each forgotten team, source and currency",
    {
        "source": "Landing source.",
        "currency": "Currency.",
        "billed": "BilledCost.",
        "effective": "EffectiveCost.",
    },
)
BUILT_DAYS = Table(
    "ops.built_days",
    "What each day of facts was built from; a night rebuilds only days whose fingerprint changed.",
    "family, usage_on",
    {
        "family": "requests or charges.",
        "usage_on": "Business day.",
        "fingerprint": "Hash of inputs.",
        "inputs": "The day's lake files and everything else that decides its rows, as JSON.",
        "reason": "Why the day was built when it was last built.",
    },
)
MADE_DAYS = Table(
    "ops.made_days",
    "What each day of a table that is made by days was made of; a night makes the days from the first changed one on.",
    "table_name, usage_on",
    {
        "table_name": "Name with its schema.",
        "usage_on": "Business day of the rows that the table reads.",
        "fingerprint": "Hash of those rows, of the query and of the values that it binds.",
    },
)
DAY_CONTENTS = Table(
    "ops.day_contents",
    "What each day of facts held when it was built, by cause of restatement: a print compares the days before the last one by it.",
    "cause, usage_on",
    {
        "cause": "late requests, refund or credit, correction, or late or re-stated charges.",
        "usage_on": "Business day.",
        "fingerprint": "Of the built day (ops.built_days); a day with another one is read again.",
        "content": "Sum of the hashes of the rows that the cause looks at.",
    },
)
KEPT_DAYS = Table(
    "ops.kept_days",
    "Request rows of each lake file that survived de-duplication.",
    "usage_on, fingerprint",
    {
        "usage_on": "Business day.",
        "fingerprint": "Name of the file's rows in the lake.",
        "kept": "Rows kept.",
    },
)
REPEATED_IDS = Table(
    "ops.repeated_ids",
    "Request ids that stand on more than one business day: they count on each of them.",
    "usage_on, source",
    {
        "usage_on": "The later business day.",
        "source": "Landing source.",
        "ids": "Ids of the day that also stand on one of the seven days before it.",
    },
    (_warn("no request id stands on two days", "ids = 0"),),
)
KEPT_EVENTS = Table(
    "ops.kept_events",
    "Plan events of each lake file that survived de-duplication.",
    "fingerprint",
    {"fingerprint": "Name of the file's rows in the lake.", "kept": "Rows kept."},
)
ADJUSTMENT_DAYS = Table(
    "ops.adjustment_days",
    "Refunds, credits and corrections among the charges, on the usage days that they correct.",
    "usage_on, team_id, source, currency, kind",
    {
        "usage_on": "Business day of usage.",
        "team_id": "Team of the charge.",
        "source": "Landing source.",
        "currency": "Billing currency.",
        "kind": "correction (marked as one by the export) or refund (a credit, or below zero).",
        "billed": "BilledCost, exact.",
        "effective": "EffectiveCost, exact.",
    },
)
UNMAPPED_DAYS = Table(
    "ops.unmapped_days",
    "Charges of services that services.csv doesn't know, by day.",
    "usage_on, provider, service, category",
    {
        "usage_on": "Business day.",
        "provider": "Provider.",
        "service": "Service name.",
        "category": "Service category of the export.",
        "net_cny": "Net of the day.",
    },
)
_SHARES = {
    "horizon_days": "h.",
    "teams": "Integrated teams at risk under that definition.",
    "moved": "Of those, moved within h.",
    "at_risk": "Of those, on the clock for at least h days.",
    "share": "Kaplan-Meier share at h.",
    "ci_low": "Lower 95 % limit.",
    "ci_high": "Upper 95 % limit.",
}
DEFINITION_GRID = Table(
    "metric.definition_grid",
    "The headline under every combination of other thresholds: how much of the number is the rule.",
    "qualifying_floor_cny, qualifying_billable_days, habit_active_days, horizon_days",
    {
        "qualifying_floor_cny": "Net that a window needs.",
        "qualifying_billable_days": "Billable days that it needs.",
        "habit_active_days": "Active days that the habit needs.",
        "fields_changed": "How many of the three differ from the definition in force; 0 is the headline.",
        "definition": "Hash of that definition.",
        **_SHARES,
    },
    (
        _stop(
            "the definition in force is in the grid, once per horizon",
            "(select count(*) from metric.definition_grid as g where g.fields_changed = 0) = "
            "(select count(*) from metric.headline)",
        ),
        _stop(
            "under the definition in force the grid is the headline",
            "fields_changed > 0 or exists (select 1 from metric.headline as h "
            "where h.horizon_days = definition_grid.horizon_days and h.teams = definition_grid.teams "
            "and h.moved = definition_grid.moved "
            # A product over a window may differ in its last bit by where its rows lie.
            "and (h.share is not distinct from definition_grid.share "
            "or abs(h.share - definition_grid.share) < 1e-12))",
        ),
        _stop(
            "a higher floor or more billable days never move more teams",
            "not exists (select 1 from metric.definition_grid as g "
            "where g.horizon_days = definition_grid.horizon_days "
            "and g.habit_active_days = definition_grid.habit_active_days "
            "and g.teams = definition_grid.teams "
            "and g.qualifying_floor_cny >= definition_grid.qualifying_floor_cny "
            "and g.qualifying_billable_days >= definition_grid.qualifying_billable_days "
            "and g.moved > definition_grid.moved)",
        ),
    ),
)
DEFINITION_SERIES = Table(
    "metric.definition_series",
    "The weekly cohorts under this definition and under each that was published before, side by side.",
    "definition, week_on, horizon_days",
    {
        "definition": "Hash of the definition.",
        "version": "Its version label.",
        "is_current": "Whether it is the definition in force.",
        "week_on": "Cohort: Monday of the ISO week of T0 under that definition.",
        **_SHARES,
        "mature_teams": "Teams of the cohort seen for h days.",
        "mature_moved": "Of those, moved within h.",
        "mature_share": "mature_moved / mature_teams.",
    },
    (
        _stop(
            "under the definition in force the series is the published one",
            "not is_current or exists (select 1 from metric.conversion as c "
            "where c.population = 'nsm' and c.by = 'week' "
            "and c.value = definition_series.week_on::varchar "
            "and c.horizon_days = definition_series.horizon_days "
            "and c.teams = definition_series.teams and c.moved = definition_series.moved "
            "and c.share is not distinct from definition_series.share)",
        ),
    ),
)
DEFINITIONS = Table(
    "ops.definitions",
    "Every definition that was ever published: an old one is run beside the new one.",
    "definition",
    {
        "definition": "Hash of the definition.",
        "version": "Its version label when it was first published.",
        "first_as_of": "A of its first print.",
        "first_published_at": "When that was (UTC).",
        "fields": "All its fields, as JSON.",
    },
)
RUNS = Table(
    "ops.runs",
    "Every published night.",
    "run_id",
    {
        "run_id": "Id of the run.",
        "as_of": "A.",
        "known_at": "K; null = everything recorded.",
        "definition": "Hash of the definition.",
        "started_at": "When it started (UTC).",
        "published_at": "When it was published (UTC).",
        "files": "Files in landing that it saw.",
        "tables_changed": "Journey and metric tables whose rows differ from the print before.",
        "inputs": "Hash of what the night saw of each input before its as-of day, as JSON.",
        "versions": "Version of the lake's files and of the contracts that judged their rows.",
    },
)
PRINTS = Table(
    "ops.prints",
    "What each night printed per closed cohort.",
    "run_id, week_on, horizon_days",
    {
        "run_id": "Id of the run.",
        "printed_at": "When (UTC).",
        "as_of": "A.",
        "known_at": "K; null = everything recorded.",
        "definition": "Hash of the definition.",
        "week_on": "Cohort: Monday of the ISO week of T0.",
        "horizon_days": "h.",
        "mature_teams": "Teams of the cohort seen for h days.",
        "mature_moved": "Of those, moved within h.",
        "mature_share": "mature_moved / mature_teams.",
        "changed_inputs": "What of the days before that night's as-of day differed from the night published before.",
    },
)
DECISION_PRINTS = Table(
    "ops.decision_prints",
    "What each night printed of every pre-registered rule.",
    "run_id, name",
    {
        "run_id": "Id of the run.",
        "printed_at": "When (UTC).",
        "as_of": "A.",
        "known_at": "K; null = everything recorded.",
        "definition": "Hash of the definition.",
        "name": "Rule.",
        "rule": "Hash of the rule's fields.",
        "side": "Side of the threshold on which it acts.",
        "threshold": "Its threshold.",
        "number": "The number.",
        "ci_low": "Lower 95 % limit.",
        "ci_high": "Upper 95 % limit.",
        "teams": "Teams behind it.",
        "verdict": "act or hold.",
        "because": "Why.",
        "todo": "What the rule says to do.",
    },
)
HASHES = Table(
    "ops.table_hashes",
    "Content hash of every journey and metric table of this print.",
    "name",
    {"name": "Table.", "hash": "Equal rows, equal hash."},
)
REFERENCE = {
    "fx": Table(
        "ref.fx",
        "CNY per unit of a currency.",
        "currency, valid_from",
        {
            "currency": "Currency.",
            "valid_from": "First day.",
            "valid_to": "Day after the last.",
            "cny_per_unit": "CNY for one unit.",
            "source": "Where the rate is from.",
        },
    ),
    "plans": Table(
        "ref.plans",
        "Prices and quotas of the plans.",
        "plan, valid_from",
        {
            "plan": "Plan.",
            "valid_from": "First day.",
            "valid_to": "Day after the last.",
            "list_cny": "List price a month.",
            "first_month_cny": "Price of the first month.",
            "requests_5h": "Requests in any 5 hours.",
            "requests_week": "Requests a week from Monday 00:00 UTC+8.",
            "requests_month": "Requests a month from the subscription day 00:00 UTC+8.",
            "source": "Where the facts are from.",
        },
    ),
    "models": Table(
        "ref.models",
        "Token prices by model and input length.",
        "model, valid_from, min_input_tokens",
        {
            "model": "Model, matched without case.",
            "valid_from": "First day.",
            "valid_to": "Day after the last.",
            "min_input_tokens": "Input longer than this (0: any).",
            "max_input_tokens": "Input up to this.",
            "currency": "Currency of the prices.",
            "input_per_million": "Price of a million fresh input tokens.",
            "cached_per_million": "Price of a million cached input tokens.",
            "output_per_million": "Price of a million output tokens.",
            "source": "Where the price is from.",
        },
    ),
    "services": Table(
        "ref.services",
        "Which family a charge belongs to: the first rule whose filled fields all match.",
        "rank",
        {
            "rank": "Order of the rules.",
            "provider": "Pattern of the provider.",
            "service": "Pattern of the service name, between blanks.",
            "resource_type": "Pattern of the resource type.",
            "sku": "Pattern of SKU and description, between blanks.",
            "category": "Pattern of the service category.",
            "subcategory": "Pattern of the service subcategory.",
            "charge_category": "Pattern of the charge category.",
            "family": "Family of the charge.",
            "valid_from": "First day.",
            "valid_to": "Day after the last.",
            "source": "Where the rule is from.",
        },
    ),
    "chips": Table(
        "ref.chips",
        "Cost scenarios of the accelerators.",
        "chip",
        {
            "chip": "Accelerator.",
            "hour_cny": "CNY an hour.",
            "output_tokens_per_second": "Output tokens a second at full load.",
            "utilisation": "Share of the time at load.",
            "source": "Where the figures are from.",
        },
    ),
    "experiments": Table(
        "ref.experiments",
        "Planned share of each arm of each experiment, and the channel that the experiment is about.",
        "experiment, arm",
        {
            "experiment": "Experiment.",
            "arm": "Arm; the one named holdout or control is what the others are compared with.",
            "planned_share": "Share of the teams that the arm is to get.",
            "channel": "Channel whose effect the experiment measures: plan, or one of fact.channel_costs.",
            "source": "Where the split was registered.",
        },
    ),
    "assumptions": Table(
        "ref.assumptions",
        "What the money side assumes because the data can't tell.",
        "name",
        {
            "name": "Assumption.",
            "value": "Its value.",
            "source": "Where it is from.",
        },
    ),
    "decisions": Table(
        "ref.decisions",
        "Pre-registered rules of the decision sheet, see decisions.toml.",
        "name",
        {
            "rank": "Order of the rules in the file.",
            "name": "Rule.",
            "rule": "Hash of its fields: another rule starts another series.",
            "question": "Question that it answers.",
            "metric": "Number that decides: a name of metric.decision_numbers.",
            "side": "above or below: side of the threshold on which the whole interval must lie.",
            "threshold": "The threshold.",
            "min_teams": "Least teams behind the number.",
            "gates": "Gates that must pass.",
            "act": "What to do when it acts.",
            "hold": "What to do when it holds.",
        },
    ),
}
ALL: dict[str, Table] = {
    t.name: t
    for t in (
        MEMBER_DAYS, USAGE_DAYS, BLOCKED_HOURS, CHARGE_DAYS, SUBSCRIPTIONS, TEAMS, ASSIGNMENTS, CHANNEL_COSTS,
        TEAM_SPANS, IDENTITY_STRETCHES, COVERAGE, CLOCK, DEFINITION, FILES, REJECTS, UNALLOCATED_CREDITS,
        UNMAPPED_SERVICES, DEFINITION_GRID, DEFINITION_SERIES, DEFINITIONS, MONEY, FORGOTTEN_MONEY, BUILT_DAYS, MADE_DAYS, DAY_CONTENTS, KEPT_DAYS, REPEATED_IDS, KEPT_EVENTS, UNMAPPED_DAYS, ADJUSTMENT_DAYS, RUNS, PRINTS, DECISION_PRINTS, HASHES, *REFERENCE.values(),
    )
}  # fmt: skip
