"""Text that a terminal only shows: no name or value may move its cursor, or hide, colour or reorder other text."""

import json
import math
import re
from typing import Any, Final

# Controls of terminals (line ends and tabs are fine), and what makes text run backwards or begins new lines in it.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Write control characters as JSON, TOML and Python do, so that they are seen and do nothing.

    >>> print(printable("red \x1b[31m, \x9b2J and \u202egnp.exe"))
    red \u001b[31m, \u009b2J and \u202egnp.exe
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def json_text(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON; what JSON has no number for is null, what it has no type for is text.

    >>> json_text({"score": [0.5, float("nan")], "name": "日本"})
    '{"score": [0.5, null], "name": "日本"}'
    """
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, default=str, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
