"""Rounding of floats before they are hashed, the same for Python and NumPy."""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

MOST = 15  # decimals that floats have


def check_decimals(decimals: int | None) -> None:
    """Refuse what is no number of digits behind the point.

    Raises:
        ValueError: if it is none.
    """
    if decimals is not None and (isinstance(decimals, bool) or not 0 <= decimals <= MOST):
        raise ValueError(f"decimals is a number from 0 to {MOST}, or None, not {decimals!r}")


def recipe_name(name: str, decimals: int | None) -> str:
    """Return what versions begin with: what is rounded is never equal to what is not.

    >>> recipe_name("array", None), recipe_name("array", 3)
    ('array', 'array-3')
    """
    return name if decimals is None else f"{name}-{decimals}"


def rounded(value: float, decimals: int | None) -> float:
    """Round a float, halves to even digits; one too large to have such digits stays as it is.

    >>> rounded(0.1 + 0.2, 6), rounded(2.5, 0), rounded(1e300, 15), rounded(2.5, None)
    (0.3, 2.0, 1e+300, 2.5)
    """
    if decimals is None or not math.isfinite(value):
        return value
    scaled = value * 10.0**decimals
    return round(scaled) / 10.0**decimals if math.isfinite(scaled) else value


def rounded_array(values: "np.ndarray[Any, Any]", decimals: int | None) -> "np.ndarray[Any, Any]":
    """Round an array of 64-bit floats in the same way."""
    if decimals is None:
        return values
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        scaled = values * 10.0**decimals
        return np.where(np.isfinite(scaled), np.rint(scaled) / 10.0**decimals, values)
