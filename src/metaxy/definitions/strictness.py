"""Errors or warnings for definitions that are wrong in a way that older releases let pass.

User code gets an error. A definition that comes from a store or a lock file cannot be corrected there, and its rows
exist: it gets a warning. The validators learn which of the two it is from the validation context.
"""

from typing import Any, Final

from pydantic import ValidationInfo

from metaxy.errors import DefinitionError, DefinitionWarning, warn_user

_STORED: Final = "metaxy_stored_feature"


def stored(feature: str) -> dict[str, Any]:
    """Return the validation context for the definition of a feature that was stored."""
    return {_STORED: feature}


def refuse(problem: str, info: ValidationInfo, warning: type[Warning] = DefinitionWarning) -> None:
    """Raise a problem of user code; only warn about one of a stored definition."""
    feature = (info.context or {}).get(_STORED)
    if feature is None:
        raise DefinitionError(problem)
    warn_user(f"stored definition of feature {feature!r}: {problem}", warning)
