"""Every error and warning of Metaxy, in one tree.

An error says what is wrong, where, and how to fix it, in one line; data that a program may want is kept as attributes.

    MetaxyError
    ├── RequestError (.code, .hint)              a project cannot do what was asked of it
    ├── MetaxyInvariantViolationError            something that user code must not do
    │   ├── MetaxyMissingFeatureDependency       a feature depends on one that is not in the graph
    │   ├── MetaxyEmptyCodeVersionError
    │   ├── AmbiguousProjectError (RuntimeError) the graph has no project, or several
    │   └── ExternalFeatureVersionMismatchError
    ├── DefinitionError (ValueError)             a feature definition is wrong
    │   ├── AbstractFeatureError (AttributeError)  a feature class without a spec
    │   └── CyclicDependencyError                a → b → a
    ├── UnknownFeatureError (KeyError, ValueError)  a key that the graph does not have
    ├── FilterParseError (ValueError)            a filter string that cannot be parsed
    ├── InvalidConfigError (ValueError)          metaxy.toml, environment or store options
    │   ├── ConfigFileNotFoundError (FileNotFoundError)
    │   └── StoreImportError (ImportError)       the class of a store cannot be imported
    ├── ContentError (ValueError, .failed)       bytes or values that cannot be given a version
    ├── EntrypointLoadError                      user code that cannot be imported
    ├── ProcessError (.report)                   a function failed for a sample, or its results cannot be written
    ├── VersioningEngineMismatchError            data outside the database, but native versioning was demanded
    └── MetadataStoreError                       anything a store refuses
        ├── FeatureNotFoundError (.keys)         the feature has no table here
        ├── SystemDataNotFoundError
        ├── SnapshotError (ValueError)           a graph cannot be pushed, or was not
        ├── TableNotFoundError                   and the store may not create it
        ├── FieldNotFoundError
        ├── MetadataSchemaError (ValueError)     columns, types, NULLs or duplicates that cannot be stored or read
        ├── DependencyError
        ├── StoreNotOpenError
        ├── StoreLockedError                     another process writes to an embedded database
        ├── StoreConnectionError                 the database, path or bucket cannot be reached
        ├── BufferedWriterError (RuntimeError)   a background writer failed, or is not running
        ├── TooManyOrphansError                  so many samples are orphaned that it looks like a mistake
        ├── HashAlgorithmNotSupportedError (ValueError)
        ├── ClaimLostError (.samples)            another worker may have these samples now; nothing was written
        ├── RenameError                          rows are still under the old key of a feature, or must stay there
        └── HashSettingsMismatchError            rows exist, under other hash settings
"""

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from types import FrameType, MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from metaxy.wording import did_you_mean, first_of, short_path

ErrorKind: TypeAlias = Literal["failure", "request", "unreachable"]
"""Whether the request or the configuration is wrong, a store cannot be reached now, or something else failed."""

# Code between the user's line and ours: a package that Metaxy was called through is not to blame for a warning.
_IN_BETWEEN: Final = frozenset({"metaxy", "pydantic", "narwhals", "contextlib", "importlib", "concurrent", "threading"})


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn, and blame the line of the user that led here: the innermost one outside of Metaxy, at any depth."""
    line = _users_line(sys._getframe(1))
    names = line.f_globals
    seen = names.setdefault("__warningregistry__", {})
    warnings.warn_explicit(
        message, category, line.f_code.co_filename, line.f_lineno, names.get("__name__", "<unknown>"), seen
    )


def _users_line(frame: FrameType) -> FrameType:
    """Return the innermost frame of a user; in a thread of ours, which has none, the outermost frame."""
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _IN_BETWEEN:
        frame = frame.f_back
    return frame


class MetaxyError(Exception):
    """Root of all errors that Metaxy raises; ``code``, ``kind`` and ``details`` say to programs what is wrong."""

    is_user_code_error = False
    code: str = "GENERIC_ERROR"
    kind: ErrorKind = "failure"
    details: Mapping[str, Any] = MappingProxyType({})

    def __str__(self) -> str:
        """Return the bare message, also where a base such as KeyError would quote it."""
        return str(self.args[0]) if self.args else ""


class RequestError(MetaxyError):
    """A project cannot do what was asked of it; ``hint`` says what to do about it."""

    def __init__(
        self, code: str, message: str, *, hint: str = "", kind: ErrorKind = "failure", **details: object
    ) -> None:
        super().__init__(message)
        self.code = code
        self.kind = kind
        self.hint = hint
        self.details = ({"hint": hint} if hint else {}) | details


class MetaxyInvariantViolationError(MetaxyError):
    """User code did something that Metaxy cannot give a meaning."""

    is_user_code_error = True


class MetaxyMissingFeatureDependency(MetaxyInvariantViolationError):
    """A feature depends on a feature that is not in the graph."""

    code = "MISSING_DEPENDENCY"


class MetaxyEmptyCodeVersionError(MetaxyInvariantViolationError):
    """A code version that must not be empty is empty."""


class AmbiguousProjectError(MetaxyInvariantViolationError, RuntimeError):
    """One project is needed, but the graph has none or several."""

    code = "PROJECT_NOT_SET"


class ExternalFeatureVersionMismatchError(MetaxyInvariantViolationError):
    """An external feature in the store has another version than the code expects."""

    code = "VERSION_MISMATCH"


class DefinitionError(MetaxyError, ValueError):
    """A feature definition is wrong, alone or together with the others of its graph."""

    code = "INVALID_DEFINITION"


class AbstractFeatureError(DefinitionError, AttributeError):
    """A feature class without a spec was used as a feature."""


class CyclicDependencyError(DefinitionError):
    """Features depend on each other in a circle; ``cycle`` lists the keys."""

    cycle: tuple[str, ...] = ()

    @classmethod
    def from_cycle(cls, cycle: Sequence[str]) -> "CyclicDependencyError":
        """Build the error from the keys of the cycle, the first repeated at the end."""
        error = cls(f"features depend on each other in a circle: {' → '.join(cycle)}; remove one of these dependencies")
        error.cycle = tuple(cycle)
        return error


class UnknownFeatureError(MetaxyError, KeyError, ValueError):
    """The graph has no feature of this key; ``key`` holds it."""

    code = "FEATURES_NOT_FOUND"

    key: str = ""

    @classmethod
    def from_key(cls, key: str, known: Iterable[str]) -> "UnknownFeatureError":
        """Build the error with a near match and the known keys."""
        names = sorted(known)
        error = cls(
            f"feature {key!r} is not in the graph.{did_you_mean(key, names)} "
            + (
                f"Known features: {first_of(names)}"
                if names
                else "The graph is empty: import the module that defines it first"
            )
        )
        error.key = key
        error.details = {"features": [key]}
        return error


class FilterParseError(MetaxyError, ValueError):
    """A filter string cannot be parsed."""

    code = "INVALID_FILTER"
    kind = "request"


class InvalidConfigError(MetaxyError, ValueError):
    """The configuration is wrong; ``config_file`` says where, ``base_message`` says what."""

    code = "INVALID_CONFIG"
    kind = "request"

    def __init__(self, message: str = "", *, config_file: Any = None, position: Sequence[int] = ()) -> None:
        """Build the error."""
        self.base_message = message
        self.config_file = config_file
        place = ":".join(str(part) for part in (short_path(config_file), *position)) if config_file else ""
        super().__init__(f"{place}: {message}" if place else message)


class ConfigFileNotFoundError(InvalidConfigError, FileNotFoundError):
    """The configuration file that was asked for does not exist."""


class StoreImportError(InvalidConfigError, ImportError):
    """The class of a store, or a package that it needs, cannot be imported."""

    code = "STORE_IMPORT_ERROR"


class ContentError(MetaxyError, ValueError):
    """Bytes or values cannot be given a version; ``failed`` are what they are called and why, in their order."""

    code = "CONTENT_ERROR"
    failed: Mapping[str, str] = MappingProxyType({})


class EntrypointLoadError(MetaxyError):
    """A module that defines features cannot be imported."""

    code = "ENTRYPOINT_ERROR"


class ProcessError(MetaxyError):
    """A function failed for a sample, or what it computed cannot be written; ``report`` says how far it came."""

    code = "PROCESS_FAILED"
    report: Any = None

    @classmethod
    def of(cls, message: str, report: object) -> "ProcessError":
        """Build the error with the report of the run."""
        error = cls(message)
        error.report = report
        return error


class VersioningEngineMismatchError(MetaxyError):
    """``versioning_engine="native"`` was demanded, but some data is not in the database."""


class MetadataStoreError(MetaxyError):
    """A store cannot do what was asked."""


class FeatureNotFoundError(MetadataStoreError):
    """A feature has no table in the store; ``keys`` lists the features."""

    code = "FEATURES_NOT_FOUND"

    def __init__(self, message: str = "", *, keys: Sequence[Any] | None = None) -> None:
        super().__init__(message)
        self.keys = list(keys or [])
        self.details = {"features": [str(key) for key in self.keys]}


class SystemDataNotFoundError(MetadataStoreError):
    """A system table does not exist yet."""


class SnapshotError(MetadataStoreError, ValueError):
    """A graph cannot be pushed as it is, or the store has no such snapshot."""

    code = "SNAPSHOT_ERROR"


class TableNotFoundError(MetadataStoreError):
    """A table is missing and the store may not create it."""


class FieldNotFoundError(MetadataStoreError):
    """A feature has no such field."""


class MetadataSchemaError(MetadataStoreError, ValueError):
    """Columns, types, NULLs or duplicates that cannot be stored, read or versioned."""


class DependencyError(MetadataStoreError):
    """A dependency of a feature cannot be used."""


class StoreNotOpenError(MetadataStoreError, ValueError):
    """The store is closed, or open for reading only; a ValueError as well, since metaxy 0.1 raised that for copies."""


class StoreLockedError(MetadataStoreError):
    """Another process holds the lock of an embedded database."""

    code = "STORE_LOCKED"
    kind = "unreachable"


class StoreConnectionError(MetadataStoreError):
    """The database, directory or bucket of a store cannot be reached."""

    code = "STORE_UNREACHABLE"
    kind = "unreachable"


class BufferedWriterError(MetadataStoreError, RuntimeError):
    """A background writer could not write its rows, or is not running."""


class TooManyOrphansError(MetadataStoreError):
    """So many samples of a feature are orphaned that it looks like a mistake; none was deleted."""

    code = "TOO_MANY_ORPHANS"

    @classmethod
    def of(cls, feature: str, orphaned: int, rows: int, max_share: float) -> "TooManyOrphansError":
        """Build the error from the numbers."""
        error = cls(
            f"feature {feature}: {orphaned} of its {rows} samples are orphaned, more than max_share={max_share:g} lets "
            "go; a folder that is not mounted looks like this: see what became of their parents or samples, or delete "
            "them with max_share=1"
        )
        error.details = {"feature": feature, "orphaned": orphaned, "rows": rows, "max_share": max_share}
        return error


class ClaimLostError(MetadataStoreError):
    """A claim does not hold these samples any more, so that another worker may have them; nothing was written."""

    code = "CLAIM_LOST"

    def __init__(self, message: str = "", *, samples: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.samples = list(samples)


class HashAlgorithmNotSupportedError(MetadataStoreError, ValueError):
    """The engine of this store cannot compute the hash algorithm."""


class RenameError(MetadataStoreError):
    """Rows of a feature are still under a key that it had before, or cannot be taken over to its new one."""


class HashSettingsMismatchError(MetadataStoreError):
    """A feature has rows, but under another hash algorithm or truncation length."""

    code = "HASH_SETTINGS_MISMATCH"


class MetaxyWarning(UserWarning):
    """Root of the warnings that are not given a base by compatibility."""


class CodeVersionWarning(MetaxyWarning):
    """A stored definition has a code version that user code may no longer have."""


class DefinitionWarning(MetaxyWarning):
    """A definition is wrong, but it is stored or broken by a redefinition, or metaxy 0.1 took it as it is."""


class RenameWarning(MetaxyWarning):
    """Rows of a feature are, or were until now, under a key that it had before."""


class ConfigNotSetWarning(MetaxyWarning):
    """Configuration was asked for before any was loaded."""


class IncompleteStoreConfigWarning(MetaxyWarning):
    """A store entry without a type was ignored."""


class LockFileMissingWarning(MetaxyWarning):
    """The configured lock file does not exist."""


class ExtraProvenanceFieldWarning(MetaxyWarning):
    """A by-field column has members that are not fields of the feature; they are not stored."""


class DriftedSamplesWarning(MetaxyWarning):
    """Samples have the versions that are stored, but another payload."""


class EmptySamplesWarning(MetaxyWarning):
    """An update was asked for without any samples, so all that a feature has would be orphaned."""


class DeclaredColumnsWarning(MetaxyWarning):
    """Rows were written whose columns are not as the class of their feature declares them."""


class RowsBelowWarning(MetaxyWarning):
    """Rows were removed of samples that are still seen, as a fallback store has rows of them."""


class UntypedColumnWarning(MetaxyWarning):
    """A column holds only empty lists or the like, which do not say their type; it is not stored."""


class ContentCacheWarning(MetaxyWarning):
    """A cache of content versions could not be written, so the same files are read again."""


class InvalidStoredFeatureWarning(MetaxyWarning):
    """A stored definition cannot be decoded and was skipped."""


class UnresolvedExternalFeatureWarning(MetaxyWarning):
    """An external feature was not found in the store."""


class ExternalFeatureVersionMismatchWarning(MetaxyWarning):
    """An external feature in the store has another version than the code expects."""


class IgnoredOptionWarning(DeprecationWarning):
    """An option has no effect, and had none in metaxy 0.1."""


class MovedMetadataStoreWarning(DeprecationWarning):
    """A store was imported from a path that will go away."""


class PolarsMaterializationWarning(Warning):
    """Data left its database and is versioned by Polars instead."""


class MetaxyColumnMissingWarning(Warning):
    """A column that Metaxy had to compute itself was missing."""


_CLASSES: Final = [value for value in globals().values() if isinstance(value, type)]
__all__ = [*sorted(each.__name__ for each in _CLASSES if issubclass(each, (MetaxyError, Warning))), "warn_user"]
