"""Every word of the report, in English and Chinese.

Belongs here: words, and the names of columns and of the values that the product itself gives.
Does not belong here: numbers, layout; values that come from the data stay as they are.
"""

import re
from collections.abc import Callable

_NAMES = """
title | Cloudbound, weekly report | Cloudbound 周报
skip | Skip to the number | 跳到数字
contents | On this page | 本页内容
how | How to get this | 如何得到这些数
copy | Copy | 复制
copied | Copied | 已复制
choose | Break down by | 分组依据
show | Show | 显示
nothing | Nothing to show yet. | 暂无内容。
absent | The published file has no such table: it comes with the next night. | 已发布的文件中没有该表：下一次夜间运行后会有。
stale | Stale: older than 36 hours, or landing holds files that this print has not seen | 已过期：发布超过 36 小时，或着陆区有本次发布未见的文件
old | This page is {n} days old | 本页已有 {n} 天
as_of | As of | 截至
published_at | Published | 发布时间
known_at | Known at | 已知截至
data_complete_on | Decided up to | 可判定至
everything | everything recorded | 全部记录
n_of | n = {n} {unit} | n = {n} {unit}
definition | Definition | 定义
yes | yes | 是
no | no | 否
association | association | 仅为相关
not_identified | not identified | 无法识别
immature | immature | 尚未成熟
history | History of prints | 历次发布
funnel | From the plan to the cloud | 从套餐到上云
outcomes | Three outcomes by horizon | 各期限的三种结果
curve | Share moved by day since the habit | 养成习惯后逐日迁云比例
segments | By group | 分组
naive | What a usual dashboard would print | 常见看板会给出的数字
friction | Which limit frustrates | 哪种额度限制令人受挫
models | Which model mix retains | 哪种模型组合留得住人
tasks | Which tasks go before a move | 迁云之前做哪些任务
renewals | Who goes on paying | 谁在续费
workloads | Whether a moved workload stays | 迁上云的负载是否留下
quadrants | Who only takes | 谁只取不予
maximisers | Quota maximisers | 用满额度者
economics | Does it pay | 是否划算
scenarios | What the tokens would cost | 算力成本情景
trap | Is it a trap | 是否是陷阱
incrementality | Would they have moved anyway | 没有套餐他们也会迁云吗
channels | Against other channels | 与其他渠道相比
matched | Against matched accounts | 与匹配账号相比
experiments | Did the change work | 改动是否有效
decisions | What to do, and last quarter's check | 本周决定与上季核对
series | The series under each definition | 各定义下的序列
grid | How much of the number is the rule | 数字有多少取决于规则
links | Whether teams can meet their bills | 团队与账单是否对得上
on_plan | while on the plan | 套餐期内
after_churn | after it ended | 套餐结束后
restated | Closed cohorts that were restated | 被修订的已结束批次
quality | What came in | 数据接收情况
paid | paid for the plan | 付费订阅
integrated | made it a habit | 养成习惯
eligible | not on the cloud before | 此前未在云上
moved_so_far | moved so far | 已迁云
teams | teams | 团队
units_teams | teams | 个团队
units_cycles | billing cycles | 个计费周期
units_prints | prints | 次发布
units_rows | rows | 行
units_cohorts | cohorts | 个批次
units_decisions | decisions | 项决定
step | step | 步骤
days | days since the habit | 养成习惯后天数
at_risk_below | teams at risk below | 下方为在观察团队数
at_risk | at risk | 在观察
share | share moved | 迁云比例
share_of_before | of the step before | 占上一步
share_of_teams | share of the teams | 占团队比例
mature_share | share of closed cohorts | 已结束批次的比例
horizon_days | days | 天数
converted | converted | 已转化
not_converted | not converted | 未转化
open | still open | 尚未定论
moved | moved | 已迁云
by | by | 依据
value | group | 组
group | group | 组
name | number | 数字
error | what it gets wrong | 错在哪里
numerator | counts as moved | 计为迁云
denominator | divides by | 除以
gap | gap to the truth | 与真值之差
limit_name | limit | 限制
cycles_bound | cycles bound | 受限周期
cycles_unbound | cycles unbound | 未受限周期
not_renewed_bound | not renewed, bound | 受限且未续费
not_renewed_unbound | not renewed, unbound | 未受限且未续费
odds_ratio | odds ratio, adjusted | 调整后优势比
crude_odds_ratio | crude, never alone | 粗优势比，不可单看
warning | warning | 警告
blocked_hours | hours blocked | 受阻小时
blocked_hours_per_cycle | hours blocked per cycle | 每周期受阻小时
blocked_days_per_cycle | days blocked per cycle | 每周期受阻天数
upgraded | upgraded | 升级
churned | churned | 流失
off_plan | pay-as-you-go | 按量付费
label | label | 标注
kind | kind | 类别
exposure | models | 模型
teams_with | teams with | 有此项的团队
teams_without | teams without | 无此项的团队
p_adjusted | p, adjusted | 校正后 p
task | task | 任务
share_of_requests | of all requests | 占全部请求
share_with | share moved with | 有此项的迁云比例
share_without | share moved without | 无此项的迁云比例
difference | difference | 差
plan | plan | 套餐
cycle_number | billing cycle | 计费周期
renewal_share | renewed | 续费比例
retained | still there | 仍在
day | day | 日
median_net_cny | median net, CNY in 28 days | 28 天净额中位数（元）
median_families | median families | 负载类别中位数
cohort | month of the habit | 习惯养成月份
quadrant | quadrant | 象限
median_utilisation | median use of the quota | 额度使用率中位数
drift | drift to the month before | 较上月变化
builders | builders | 建设者
efficient_movers | efficient movers | 高效迁云者
tourists | tourists | 游客
unknown_quota | unknown quota | 额度未知
maximisers_share | share of the teams | 占团队比例
quadrants_share | share of the teams | 占团队比例
workloads_share | still there | 仍在比例
history_share | share of closed cohorts | 已结束批次的比例
economics_itt | all subscribers | 全部订阅者
economics_nsm | with the habit | 有习惯者
of_teams | of teams | 团队总数
maximisers_maximisers | maximisers | 用满者
grid_value | its value | 取值
quadrants_dormant | dormant | 少用未迁
plan_net_cny | paid, CNY | 已付（元）
inference_cny | inference, CNY | 推理成本（元）
clock | clock | 时钟
itt | effect, all assigned (ITT) | 全部分配者的效应（ITT）
nsm | from the habit | 自习惯起
subsidy_per_team | subsidy per team, CNY | 每队补贴（元）
contribution_per_team_month | contribution per team-month, CNY | 每队每月贡献（元）
value_per_converted_team | value of a converted team, CNY | 每个转化团队的价值（元）
p_star_low | p* at iota 0.9 | p*（增量 0.9）
p_star_high | p* at iota 0.2 | p*（增量 0.2）
needed_or_there | bar: conversion needed (p*); dot: conversion there is | 条：所需转化率 p*；点：实际转化率
conversion | conversion | 转化率
payback_month | payback month | 回本月
verdict | verdict | 结论
chip | chip | 芯片
chip_hours | chip hours | 芯片小时
scenario_cny | scenario, CNY | 情景成本（元）
list_price_cny | list price, CNY | 目录价（元）
ratio_to_list | of the list price | 与目录价之比
week_on | week | 周
active_teams | active teams | 活跃团队
trap_index | trap index, per week | 陷阱指数（每周）
cost_slope | slope of cost | 成本斜率
margin_slope | slope of margin | 毛利斜率
is_alert | alert | 警报
is_certain | certain | 确定
experiment | experiment | 实验
arm | arm | 组别
subscribed | subscribed | 已订阅
control_teams | control teams | 对照团队
control_moved | control moved | 对照已迁云
wald | effect on those who subscribe | 对因此订阅者的效应
iota | incremental share | 增量占比
assigned | assigned | 已分配
control_assigned | control assigned | 对照已分配
srm_p | p of the split | 分流检验 p
renewal_difference | renewal difference | 续费差
teams_needed | teams needed | 还需团队
channel | channel | 渠道
cost_cny | cost, CNY | 成本（元）
parameter | rule | 规则
subscribers | subscribers | 订阅者
control_share | share of the matched | 匹配账号比例
e_value | e-value | E 值
prior_spend | prior cloud spend | 此前云支出
under_30 | under 30 CNY | 不足 30 元
30_and_more | 30 CNY and more | 30 元及以上
sustained | sustained | 持续用云
sustained_share | share sustained | 持续用云比例
cost_per_incremental_cny | cost per incremental sustained team, CNY | 每个增量持续团队成本（元）
iota_low | incremental share from | 增量占比下限
iota_high | to | 上限
blocked_difference | difference in blocked time | 受阻时间差
margin_difference | difference in margin, CNY | 毛利差（元）
number | number | 数字
decisions_name | rule | 规则
side | act when | 行动条件
above | above | 高于
below | below | 低于
threshold | threshold | 阈值
failed_gates | gates not passed | 未过的关口
todo | what to do | 做什么
act | act | 行动
before_as_of | print of 13 weeks ago | 13 周前的发布
before_number | number then | 当时数字
change | change | 变化
is_within_before | within that interval | 在当时区间内
before_verdict | decided then | 当时决定
check_of_before | what became of it | 后来如何
act_confirmed | act confirmed | 行动得到证实
act_open | act open | 行动未定
act_reversed | act reversed | 行动被推翻
hold_kept | hold kept | 仍应暂缓
hold_overtaken | hold overtaken: it would act now | 暂缓已过时：现在会行动
none | none | 无
is_base | in force | 现行
is_current | in force | 现行
version | version | 版本
floor_cny | floor, CNY | 净额下限（元）
billable_days | billable days | 计费天数
habit_active_days | active days of the habit | 习惯活跃天数
files | files | 文件
tables_changed | tables changed | 变化的表
printed_at | printed | 打印时间
first_share | first printed | 首次发布
latest_share | latest printed | 最近发布
cause | cause | 原因
family | family | 数据类
rows_read | rows read | 读取行数
accepted | accepted | 接受
rejected | rejected | 拒收
superseded | superseded | 被取代
duplicate | duplicate | 重复
integrated_teams | integrated teams | 养成习惯的团队
linked_teams | linked to a bill | 已关联账单
linked_share | linked | 关联比例
unlinked_workload_cny | workload on unlinked accounts, CNY | 未关联账号的负载（元）
share_if_none_unlinked_moved | lower bound of the share | 比例下界
share_if_all_unlinked_moved | upper bound of the share | 比例上界
all | all | 全部
any | any limit | 任一限制
5h | 5 hours | 5 小时
week | week | 周
month | month | 月
mix | mix | 组合
model | one model | 单个模型
breadth | how many | 数量
3_or_more | 3 or more | 3 个及以上
region | region | 地区
industry | industry | 行业
team_class | size | 规模
model_mix | model mix | 模型组合
task_mix | main task | 主要任务
state | state before | 此前状态
solo | solo | 单人
small | small | 小型
mid | mid | 中型
large | large | 大型
new | new | 全新
dormant | dormant | 沉寂
unknown | unknown | 未知
unclassified | unclassified | 未分类
domestic | domestic | 国内
global | global | 国际
any_cloud_charge | any cloud charge | 任何云账单
censored_at_as_of | silence taken for a no | 把沉默当作否
converted_so_far | converted so far | 目前已转化
developers | developers | 开发者
last_4_weeks | last 4 weeks | 最近四周
natives_included | natives included | 含原有云客户
no_subsidy | no subsidy | 无补贴
cannot_pay_back | cannot pay back | 无法回本
pays_back | pays back | 能回本
doesn_t_pay_back | doesn't pay back | 不能回本
undecided | undecided | 未定
no_value_seen | no value seen | 尚无价值可见
broken_split | broken split | 分流有误
guardrail_breached | guardrail breached | 突破护栏
better | better | 更好
worse | worse | 更差
hold | hold | 暂缓
requests | requests | 请求
charges | charges | 账单
subscriptions | plan events | 套餐事件
account_links | account links | 账号关联
assignments | assignments | 实验分配
channel_costs | channel costs | 渠道成本
the_crude_ratio_is_not_adjusted_for_demand | not adjusted for demand | 未按需求调整
the_crude_ratio_has_the_wrong_sign_heavy_users_are_stopped_more_and_renew_more | wrong sign: heavy users are stopped more and renew more | 方向错误：重度用户受限更多、续费也更多
"""

_SENTENCES = {
    "question": (
        "Of the teams that made the plan part of how they work, what share later moved a workload "
        "onto the cloud?",
        "把编程套餐融入日常工作的团队中，后来有多大比例把工作负载迁上了云？",
    ),
    "within": ("within {h} days of the habit", "养成习惯后 {h} 天内"),
    "counts": (
        "{moved} of {teams} teams so far; {at_risk} at risk at day {h}.",
        "目前 {teams} 个团队中有 {moved} 个；第 {h} 天仍在观察的有 {at_risk} 个。",
    ),
    "mature": (
        "Mature cohorts only: {share} of {n} teams. Of all paying teams (ITT): {itt} of {itt_n}.",
        "仅看已成熟批次：{n} 个团队中 {share}。全部付费团队（ITT）：{itt_n} 个中 {itt}。",
    ),
    "unlinked": (
        "Only {linked} of the integrated teams are linked to a bill: the share lies between {low} "
        "and {high}.",
        "养成习惯的团队中只有 {linked} 关联了账单：比例介于 {low} 与 {high} 之间。",
    ),
    "no_number": (
        "Not enough teams have been followed that long to state the share.",
        "被跟踪足够久的团队太少，无法给出比例。",
    ),
    "about_association": (
        "Association: nobody assigned it, so it is no cause.",
        "仅为相关：无人随机分配，不能当作原因。",
    ),
    "about_not_identified": (
        "Not identified: it rests on an assumption that the data can't settle.",
        "无法识别：依赖数据无法验证的假设。",
    ),
    "about_immature": (
        "Immature: too few or too young to be read; its marks are hollow.",
        "尚未成熟：太少或太新，不宜解读；图中为空心。",
    ),
    "history_note": (
        "Share that moved within the headline horizon, over the cohorts that were closed at each "
        "print, with its Wilson interval.",
        "每次发布时已结束批次在头条期限内的迁云比例及其 Wilson 区间。",
    ),
    "funnel_note": (
        "Standing customers and teams that moved before the habit are no success of the plan.",
        "原有云客户和习惯之前已迁云的团队不算套餐的功劳。",
    ),
    "outcomes_note": (
        "What can't be decided yet is still open, never a no.",
        "尚不能判定的属于“尚未定论”，绝不当作“否”。",
    ),
    "curve_note": (
        "Kaplan-Meier with its 95 % band, drawn while enough teams are at risk; beside it the same "
        "moves split into those on the plan and those after it ended (Aalen-Johansen).",
        "Kaplan-Meier 曲线及 95% 区间，仅画到在观察团队足够多时为止；旁图把同样的迁云分为套餐期内与结束后"
        "（Aalen-Johansen）。",
    ),
    "segments_note": (
        "Segments as known at the habit; groups too small to be shown alone are left out. The "
        "dashed line is the headline.",
        "分组以养成习惯时所知为准；过小的组不显示。虚线为头条比例。",
    ),
    "naive_note": (
        "Each orange bar makes one named error; the blue line is the headline share.",
        "每条橙色条各犯一个错误；蓝线为头条比例。",
    ),
    "friction_note": (
        "Odds of not renewing when a limit bound, against cycles that none bound, within demand, "
        "cycle number and plan. Right of 1: frustrates.",
        "受限周期相对未受限周期不续费的优势比，按需求、周期序号和套餐分层。大于 1 即令人受挫。",
    ),
    "models_note": (
        "Odds of renewing after day 28, within request decile, plan and size. Right of 1: renews "
        "more. Trust the adjusted p.",
        "第 28 天后续费的优势比，按请求量十分位、套餐和规模分层。大于 1 即续费更多。以校正后 p 为准。",
    ),
    "tasks_note": (
        "Moves in days 29 to 118 by what was asked in the first 28; a leading indicator, no cause.",
        "按前 28 天所做任务看第 29 至 118 天的迁云；只是先行指标，不是原因。",
    ),
    "renewals_note": (
        "Share of the subscribers that go on without a gap after each cycle.",
        "每个周期后仍不间断付费的订阅者比例。",
    ),
    "workloads_note": (
        "Share of the moved teams with a workload in the 28 days from W + day on; medians, not means.",
        "迁云团队自 W + 天数起 28 天内仍有负载的比例；用中位数，不用均值。",
    ),
    "quadrants_note": (
        "Use of the quota in the first 28 days (cut at half) by moved at the horizon, mature teams "
        "only. Tourists use much and move nothing.",
        "前 28 天额度使用（以一半为界）与期限内是否迁云，仅含成熟团队。游客用得多而不迁云。",
    ),
    "maximisers_note": (
        "At least 90 % of the quota in two cycles, and no move.",
        "至少两个周期用到额度的 90%，且未迁云。",
    ),
    "economics_note": (
        "p* is the conversion that would pay the subsidy back, for an incremental share of 0.9 to "
        "0.2; above 1 it cannot pay back.",
        "p* 为补贴回本所需的转化率，增量占比取 0.9 至 0.2；大于 1 即无法回本。",
    ),
    "scenarios_note": (
        "The same tokens on each accelerator, at its hour price and throughput.",
        "同样的词元在各加速卡上的成本，按小时价与吞吐计算。",
    ),
    "trap_note": (
        "Growth of the inference cost per active team less that of the workload margin. Above 0 for "
        "three weeks is an alert (triangle).",
        "每活跃团队推理成本增速减去负载毛利增速。连续三周大于 0 即警报（三角）。",
    ),
    "incrementality_note": (
        "Moves by assigned arm against the holdout, whether the offer was taken or not.",
        "按分配组别与留出组比较迁云，不论是否接受优惠。",
    ),
    "matched_note": (
        "Subscribers against accounts that had not subscribed on the same day, matched on region, "
        "industry and prior spend.",
        "订阅者与同日尚未订阅的账号相比，按地区、行业和此前支出匹配。",
    ),
    "channels_note": (
        "Without an experiment the cost is an interval: between 0.9 and 0.2 of the moves are "
        "incremental.",
        "没有实验时成本是一个区间：迁云中有 0.9 至 0.2 为增量。",
    ),
    "experiments_note": (
        "Matured teams only, an interval that holds at every weekly look; with a broken split no "
        "effect is shown.",
        "仅含成熟团队，区间在每周查看时都有效；分流有误时不显示效应。",
    ),
    "decisions_note": (
        "Act only where the interval excludes the threshold; each decision is checked 13 weeks later.",
        "仅当区间不含阈值时才行动；每项决定 13 周后核对。",
    ),
    "series_note": (
        "Share moved of each week's cohort within the headline horizon. When the definition changes, "
        "the one before goes on beside it for the same weeks: a break in the number is told from a "
        "change of the teams.",
        "每周批次在头条期限内的迁云比例。定义改变后，旧定义在相同的周继续并列计算：规则造成的断层与团队的变化得以区分。",
    ),
    "grid_note": (
        "The headline with one rule changed at a time; the dashed line is the definition in force.",
        "每次只改一条规则的头条比例；虚线为现行定义。",
    ),
    "links_note": (
        "A team without a link to its bill never moves: the bounds say how much that could hide.",
        "没有关联账单的团队永远不会“迁云”：上下界说明可能遗漏多少。",
    ),
    "restated_note": (
        "Cohorts whose closed number changed after its first print, and the inputs that changed.",
        "首次发布后已结束批次的数字发生变化的情形及其输入变化。",
    ),
    "quality_note": (
        "Every row that came in is accepted, rejected with a reason, superseded or a duplicate.",
        "每一行不是被接受，就是有理由地拒收、被取代或重复。",
    ),
    "error_any_cloud_charge": (
        "trial, free and credited use counts as a workload",
        "把试用、免费和抵扣的用量当作负载",
    ),
    "error_censored_at_as_of": (
        "days that could not have been decided count as days without a move",
        "把尚不能判定的日子当作没有迁云的日子",
    ),
    "error_converted_so_far": ("open cohorts count as unconverted", "把未定批次当作未转化"),
    "error_developers": ("developers are counted instead of teams", "数的是开发者而不是团队"),
    "error_last_4_weeks": (
        "the youngest cohort has had no time to move",
        "最年轻的批次还没有时间迁云",
    ),
    "error_natives_included": (
        "teams that were on the cloud before count as moved",
        "把此前已在云上的团队算作迁云",
    ),
}

WORDS: dict[str, dict[str, str]] = {
    name.strip(): {"en": en.strip(), "zh": zh.strip()}
    for name, en, zh in (line.split(" | ") for line in _NAMES.strip().splitlines())
} | {name: {"en": en, "zh": zh} for name, (en, zh) in _SENTENCES.items()}


_NOT_A_KEY = re.compile(r"[^a-z0-9]+")


def word(name: str, lang: str, **values: object) -> str:
    """A string in a language, with its values filled in."""
    return WORDS[name][lang].format(**values)


def speaker(lang: str, section: str = "") -> Callable[[str], str]:
    """A function that says a name or value in a language; what the product didn't name stays.

    Where a section has its own word (quadrants_share), that one counts.
    """

    def say(name: str) -> str:
        key = _NOT_A_KEY.sub("_", name.lower()).strip("_")
        for known in (f"{section}_{key}", key):
            if known in WORDS:
                return WORDS[known][lang]
        return name

    return say
