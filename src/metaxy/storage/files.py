"""What storages made of files have in common: partitions and errors."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from metaxy.columns import METAXY_FEATURE_VERSION, METAXY_PROVENANCE_BY_FIELD
from metaxy.errors import StoreConnectionError

OBJECT_STORE_CODE = re.compile(r"<Code>(\w+)</Code>")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
Failures = tuple[type[Exception], ...]


def partition_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Say what a new table is partitioned by: features by their version, so that other versions are never read.

    >>> partition_columns(["id", "metaxy_provenance_by_field", "metaxy_feature_version"])
    ('metaxy_feature_version',)
    >>> partition_columns(["project", "metaxy_feature_version"])
    ()
    """
    is_feature = {METAXY_FEATURE_VERSION, METAXY_PROVENANCE_BY_FIELD} <= set(columns)
    return (METAXY_FEATURE_VERSION,) if is_feature else ()


@contextmanager
def reported(where: str, failures: Failures, hide: Callable[[str], str]) -> Iterator[None]:
    """Turn failures of a client into one line that says where.

    Args:
        where: the address that failed.
        failures: errors of the client.
        hide: masks secrets in a text.

    Raises:
        StoreConnectionError: instead of these failures.
    """
    try:
        yield
    except failures as error:
        raise StoreConnectionError(hide(f"{where}: {one_line(error)}")) from error


def one_line(error: BaseException) -> str:
    r"""Return what an error says, on one line: causes follow what they caused, backtraces and colours go.

    >>> one_line(OSError("Generic S3 error\n  \x1b[31m↳\x1b[0m no such bucket\n\nstack backtrace: ..."))
    'Generic S3 error: no such bucket'
    """
    text = COLOUR.sub("", str(error)).strip()
    code = OBJECT_STORE_CODE.search(text)
    lines = text.split("\n\n")[0].splitlines()
    causes = [line.partition(" <?xml")[0].strip(" ↳,:") for line in lines if "↳" in line or line == lines[0]]
    return ": ".join(dict.fromkeys([*causes, *(code.groups() if code else ())])) or type(error).__name__
