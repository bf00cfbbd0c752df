"""What no filter may ask of an engine: what stores have answers of their own for, and what one cannot compute."""

from collections.abc import Iterator
from contextlib import contextmanager

from metaxy.errors import MetadataSchemaError, MetaxyError
from metaxy.wording import first_line


class UnportableError(ValueError):
    """A part of a filter that engines understand differently, or not at all; its text follows "a filter"."""


@contextmanager
def computable(where: str, engine: str) -> Iterator[None]:
    """Turn what libraries raise while they build a query for filters into one line.

    Raises:
        MetadataSchemaError: instead of theirs.

    >>> with computable("feature video", "sqlite"):
    ...     raise NotImplementedError("no titlecase")
    Traceback (most recent call last):
    metaxy.errors.MetadataSchemaError: feature video: a filter needs what sqlite cannot compute: no titlecase; ...
    """
    try:
        yield
    except MetaxyError:
        raise
    except Exception as error:
        raise MetadataSchemaError(
            f"{where}: a filter needs what {engine} cannot compute: {first_line(error)}; write it in another way, or "
            "filter what is read"
        ) from error
