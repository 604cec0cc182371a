"""Answers as JSON text: dates as ISO text, decimals with all their digits, never NaN.

Belongs here: the spelling of values. Does not belong here: which values an answer has.
"""

import json
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any


def dumps(value: Any) -> str:
    """JSON text of dicts, lists, numbers, text, dates, times and decimals.

    A decimal is written as a number with all its digits: json.loads(..., parse_float=Decimal)
    reads it back exactly.
    """
    if value is None or (isinstance(value, (float, Decimal)) and not math.isfinite(value)):
        return "null"
    if isinstance(value, dict):
        pairs = (f"{json.dumps(str(k), ensure_ascii=False)}: {dumps(v)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(dumps(v) for v in value) + "]"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return json.dumps(value.isoformat().replace("+00:00", "Z"))
    if isinstance(value, (date, time)):
        return json.dumps(value.isoformat())
    if isinstance(value, timedelta):
        return dumps(value.total_seconds())
    if isinstance(value, (bool, int, float, str)):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(str(value), ensure_ascii=False)
