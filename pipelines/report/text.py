"""Every visible string of the report, in English and Chinese.

Belongs here: words. Does not belong here: numbers, layout.
"""

WORDS: dict[str, dict[str, str]] = {
    "title": {"en": "Cloudbound, weekly report", "zh": "Cloudbound 周报"},
    "question": {
        "en": "Of the teams that made the plan part of how they work, what share later moved a "
        "workload onto the cloud?",
        "zh": "把编程套餐融入日常工作的团队中，后来有多大比例把工作负载迁上了云？",
    },
    "within": {"en": "within {h} days of the habit", "zh": "养成习惯后 {h} 天内"},
    "counts": {
        "en": "{moved} of {teams} teams so far, {at_risk} at risk at day {h}. As of {as_of}, "
        "decided up to {data_complete_on}. Definition {definition}.",
        "zh": "目前 {teams} 个团队中有 {moved} 个，第 {h} 天仍在观察的有 {at_risk} 个。"
        "截至 {as_of}，可判定至 {data_complete_on}。定义 {definition}。",
    },
    "no_number": {
        "en": "Not enough teams have been followed that long to state the share.",
        "zh": "被跟踪足够久的团队太少，无法给出比例。",
    },
    "outcomes": {"en": "Three outcomes by horizon", "zh": "各期限的三种结果"},
    "curve": {"en": "Share moved by day since the habit", "zh": "养成习惯后逐日迁云比例"},
    "naive": {"en": "What a usual dashboard would print", "zh": "常见看板会给出的数字"},
    "segments": {"en": "By group", "zh": "分组"},
    "history": {"en": "Prints so far", "zh": "历次发布"},
    "restated": {"en": "Closed cohorts that were restated", "zh": "被修订的已结束批次"},
    "quality": {"en": "What came in", "zh": "数据接收情况"},
    "grid": {"en": "How much of the number is the rule", "zh": "数字有多少取决于规则"},
    "days": {"en": "days", "zh": "天"},
    "share": {"en": "share", "zh": "比例"},
    "how": {"en": "How to get this", "zh": "如何得到"},
    "none": {"en": "Nothing to show.", "zh": "没有内容。"},
    "skip": {"en": "Skip to the number", "zh": "跳到数字"},
    "choose": {"en": "Break down by", "zh": "分组依据"},
    "band": {
        "en": "Band: 95 % interval. {n} teams at risk at the start.",
        "zh": "阴影为 95% 区间。起始观察 {n} 个团队。",
    },
    "rule": {
        "en": "The blue rule is the headline share, n = {n}.",
        "zh": "蓝线为头条比例，n = {n}。",
    },
}


def word(name: str, lang: str, **values: object) -> str:
    """A string in a language, with its values filled in."""
    return WORDS[name][lang].format(**values)
