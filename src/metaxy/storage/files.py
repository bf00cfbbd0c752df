"""Shared by storages that are made of files: places, partitions and errors."""

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from metaxy.columns import METAXY_FEATURE_VERSION, METAXY_PROVENANCE_BY_FIELD
from metaxy.errors import InvalidConfigError, MetaxyError, StoreConnectionError
from metaxy.masking import hide_in, mask_path

LONGEST_COMMIT = timedelta(hours=1)
ADVICE = "check the path, and who may read and write there"
OBJECT_STORE_CODE = re.compile(r"<Code>(\w+)</Code>")
HINTS = {
    "NoSuchBucket": "create the bucket, or correct its name",
    "InvalidAccessKeyId": "correct the access key",
    "SignatureDoesNotMatch": "correct the secret key",
    "AccessDenied": "this needs a key that has the permission",
}
SOURCE_LINE = re.compile(r",? ?(?:location: )?/\S+\.rs:\d+(?::\d+)?")  # where in the sources of a client
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


def absolute(path: str) -> str:
    """Make a local path absolute; leave other addresses as they are.

    >>> absolute("s3://bucket/features/")
    's3://bucket/features'
    """
    for scheme in ("file://", "local://"):
        path = path.removeprefix(scheme)
    return path.rstrip("/") if "://" in path else str(Path(at_home(path)).resolve())


def anchored(place: Any) -> Any:
    """Make a relative path absolute; leave addresses, ``:memory:`` and what is no path as they are.

    >>> anchored(":memory:"), anchored("s3://bucket"), Path(anchored("lake")).is_absolute()
    (':memory:', 's3://bucket', True)
    """
    if not isinstance(place, (str, Path)) or re.match(r":|$|\w\w+:", str(place)):
        return place
    return str(Path(at_home(str(place))).absolute())


def at_home(path: str) -> str:
    """Return a path with the home directory in place of a ``~`` at its beginning, whoever opens it.

    Raises:
        InvalidConfigError: if it names a user that this machine does not have; else a folder would get that name.

    >>> at_home("features~"), at_home("~/features.duckdb").startswith("~")
    ('features~', False)
    """
    found = os.path.expanduser(path)  # noqa: PTH111 - it may be the rest of an address
    if found.startswith("~"):
        raise InvalidConfigError(
            f"{mask_path(path)!r}: there is no such home directory; give the whole path, or ./{mask_path(path)} for a "
            "folder of that name"
        )
    return found


def kept_for(keep: timedelta) -> timedelta:
    """Say how long replaced files stay: a writer that began with them may still be at work."""
    return max(keep, LONGEST_COMMIT)


def check_reachable(path: Path) -> None:
    """Tell a local path that cannot be reached from one that does not exist: clients say the same of both."""
    try:
        path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreConnectionError(f"cannot reach {path.parent}: {error.strerror}; {ADVICE}") from error


def remove_folder(folder: Path) -> None:
    """Remove a table's folder; it is gone at once, as a whole."""
    shutil.rmtree(folder.rename(folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")))


@contextmanager
def reported(where: str, failures: Failures, hide: Callable[[str], str]) -> Iterator[None]:
    """Turn failures of a client into one line that says where.

    Raises:
        StoreConnectionError: instead of these failures.
    """
    try:
        yield
    except MetaxyError:
        raise
    except failures as error:
        said = one_line(error)
        codes = said.replace("_", "").lower()  # some clients write NO_SUCH_BUCKET
        hints = [f"; {hint}" for code, hint in HINTS.items() if code.lower() in codes]
        raise StoreConnectionError(hide(f"{where}: {said}{''.join(hints[:1])}")) from hide_in(error, hide)


def one_line(error: BaseException) -> str:
    r"""Return what an error says, on one line: causes follow what they caused; backtraces, colours and such go.

    >>> one_line(OSError("Generic S3 error\n  \x1b[31m↳\x1b[0m no such bucket\n\nstack backtrace: ..."))
    'Generic S3 error: no such bucket'
    >>> one_line(OSError("Dataset already exists, /home/runner/rust/src/insert.rs:333:28"))
    'Dataset already exists'
    """
    text = SOURCE_LINE.sub("", COLOUR.sub("", str(error))).strip()
    code = OBJECT_STORE_CODE.search(text)
    lines = text.split("\n\n")[0].splitlines()
    causes = [line.partition(" <?xml")[0].strip(" ↳,:") for line in lines if "↳" in line or line == lines[0]]
    return ": ".join(dict.fromkeys([*causes, *(code.groups() if code else ())])) or type(error).__name__
