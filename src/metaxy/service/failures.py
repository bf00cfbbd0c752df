"""Errors as answers: what kind of error it is, and one line about it without secrets.

Light: nothing that help does not need is imported.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from metaxy.errors import ErrorKind, FilterParseError, MetaxyError
from metaxy.masking import Secrets

INVALID: Final = "USAGE_ERROR"  # values that do not fit what was asked for


@dataclass(frozen=True)
class Failure:
    """What went wrong; ``is_unexpected`` where Metaxy does not know this kind of error.

    Only errors of filters have more than a line: the text of the filter, and a mark below the place that is wrong.
    """

    code: str
    kind: ErrorKind
    message: str
    details: Mapping[str, Any]
    is_unexpected: bool = False

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """Classify an error.

        >>> Failure.of(MetaxyError("no such feature"))
        Failure(code='GENERIC_ERROR', kind='failure', message='no such feature', details={}, is_unexpected=False)
        """
        if text := _validation_text(error):
            return cls(INVALID, "request", text, {})
        known = error if isinstance(error, MetaxyError) else MetaxyError()
        secrets = configured_secrets()  # somebody may have put the password of a connection into a text of a library
        said = secrets.hide_values(str(error)) if error is known else secrets.hide(str(error))
        is_expected = bool(said) and (error is known or isinstance(error, OSError))
        text = said if is_expected else f"unexpected {type(error).__name__}: {said}"
        text = text if isinstance(error, FilterParseError) else " ".join(text.split())
        return cls(known.code, known.kind, text, dict(known.details), not is_expected)

    def data(self) -> dict[str, Any]:
        """Return the failure as plain data."""
        return {"error": self.code, "message": self.message, **self.details}


def configured_secrets() -> Secrets:
    """Return the secrets of the active configuration; where none was loaded, there are none."""
    context = sys.modules.get("metaxy.context")  # to import it takes longer than help, which fails here too
    stores = getattr(context.active_settings(), "stores", {}) if context else {}
    return Secrets.of([store.config for store in stores.values()])


def _validation_text(error: Exception) -> str:
    """Return the first thing that pydantic found wrong, and how many more there are; empty for other errors."""
    pydantic = sys.modules.get("pydantic_core")  # where it is not loaded, it cannot have raised this
    if pydantic is None or not isinstance(error, pydantic.ValidationError):
        return ""
    first, *others = error.errors(include_url=False)
    place = ".".join([error.title, *(str(part) for part in first["loc"])])
    more = f" (and {len(others)} more)" if others else ""
    return " ".join(f"{place}: {first['msg'].removeprefix('Value error, ')}{more}".split())
