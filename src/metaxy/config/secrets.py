"""Hide secrets in what people read: representations, messages, listings."""

import re
from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "***"
SECRET_NAME: Final = re.compile(
    r"passw|passphrase|pwd|token|secret|credential|authorization|key|signature", re.IGNORECASE
)
# The password of `scheme://user:password@host`, and parameters such as `?token=…` or ` password=…`.
SECRET_IN_TEXT: Final = re.compile(
    r"(?<=://)([^\s:/@]*):[^\s/]*(?=@)|"
    r"((?:passw\w*|pwd|\w*token|\w*secret|\w*key|signature|sig)\s*=\s*)[^\s&;,'\"]+",
    re.IGNORECASE,
)


def is_secret(name: str) -> bool:
    """Return whether an option of this name should not be shown.

    >>> is_secret("aws_secret_access_key"), is_secret("database")
    (True, False)
    """
    return bool(SECRET_NAME.search(name))


def mask_text(text: str) -> str:
    """Hide passwords and tokens inside addresses and connection strings.

    >>> mask_text("postgresql://me:hunter2@host/db?sslmode=on&token=abc")
    'postgresql://me:***@host/db?sslmode=on&token=***'
    """

    def hide(found: "re.Match[str]") -> str:
        return f"{found[1]}:{HIDDEN}" if found[2] is None else f"{found[2]}{HIDDEN}"

    return SECRET_IN_TEXT.sub(hide, text)


def mask(value: Any, name: str = "") -> Any:
    """Return a copy of options in which secrets are hidden.

    >>> mask({"database": "a.db", "options": {"password": "hunter2"}})
    {'database': 'a.db', 'options': {'password': '***'}}
    """
    if is_secret(name) and value is not None:
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: mask(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask(item) for item in value]
    return mask_text(value) if isinstance(value, str) else value


def mask_values(text: str, options: Mapping[str, Any]) -> str:
    """Hide secrets in a text, also where the value of a secret option stands there by itself.

    >>> mask_values("cannot sign with hunter2", {"aws_secret_access_key": "hunter2", "region": "eu"})
    'cannot sign with ***'
    """
    for name, value in options.items():
        if is_secret(name) and value:
            text = text.replace(str(value), HIDDEN)
    return mask_text(text)
