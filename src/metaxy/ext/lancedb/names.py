"""Column names that Lance does not take, or takes for a path into a struct, and what stands for them in its tables."""

import re

ESCAPED = {".": "%2E", "`": "%60", "%": "%25"}
PLAIN = {escape: sign for sign, escape in ESCAPED.items()}
TO_ESCAPE = re.compile(r"[.`]|%(?=2E|60|25)")
TO_RESTORE = re.compile(r"%(?:2E|60|25)")


def stored_name(name: str) -> str:
    """Return what a column is called in a table of Lance: itself, unless it has a point or a backtick.

    >>> stored_name("size"), stored_name("a.b"), stored_name("100%")
    ('size', 'a%2Eb', '100%')
    """
    return TO_ESCAPE.sub(lambda found: ESCAPED[found.group()], name)


def shown_name(stored: str) -> str:
    """Return what users call a column of a table of Lance.

    >>> shown_name("a%2Eb"), shown_name("100%")
    ('a.b', '100%')
    """
    return TO_RESTORE.sub(lambda found: PLAIN[found.group()], stored)
