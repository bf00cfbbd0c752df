"""Samples of a root feature from the files of a folder."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Final, TypeAlias

import polars as pl

from metaxy.columns import METAXY_ERROR, METAXY_PROVENANCE_BY_FIELD
from metaxy.content.cache import Trust
from metaxy.content.files import Algorithm, byte_recipe, hasher
from metaxy.content.frames import ERROR, VERSION, OnError, Outcome, check_on_error, refuse_errors
from metaxy.content.listing import Found, files_in, split_glob
from metaxy.content.patterns import Pattern
from metaxy.content.reading import FACTS, Reading
from metaxy.wording import did_you_mean, storable

HashFunction: TypeAlias = Callable[[Sequence[str]], Any]
PATH: Final = "path"
DEFAULT_FIELD: Final = "default"


def scan(
    place: "str | os.PathLike[str]",
    by: str | Mapping[str, str] | None = None,
    *,
    algorithm: Algorithm = "sha256",
    hash_with: HashFunction | Mapping[str, HashFunction] | None = None,
    hidden: bool = False,
    workers: int | None = None,
    trust: Trust = "content",
    cache: "str | os.PathLike[str] | None" = None,
    on_error: OnError = "record",
    retries: int = 3,
    storage_options: Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> pl.DataFrame:
    """Make samples of the files in a folder, ready for ``store.resolve_update(Feature, samples=…)``.

    Frames: files → path, size, modified, metaxy_provenance_by_field, metaxy_error; one row per file, sorted by path.
    With ``by``: its IDs, ``path`` or the paths of each field, and the same; one row per sample, sorted by ID

    Paths are those from the folder, with slashes on all systems. Links are followed; one that leads back to a folder
    around it is left out. A sample with a file that cannot be read has no version, and ``metaxy_error`` says why: it is
    neither new, stale nor orphaned, but stays as it is. A file that is gone is not in the frame, so it is orphaned.

    Args:
        place: A folder or a glob, such as ``videos/**/*.mp4``, as a path or a URL.
        by: Which files are one sample: a pattern such as ``{id}/frames/*.png``, or one for each field.
        algorithm: How files are hashed, as for `hash_files`.
        hash_with: What hashes files instead, such as `hash_images`; or what hashes those of some fields. It is called
            with paths, and its own options are given by `functools.partial`.
        hidden: Also files whose names, or folders, begin with a dot.
        workers: As for `hash_files`, like all that follow.
        trust: What says that a file is as it was.
        cache: A small file that remembers versions.
        on_error: ``"raise"`` raises once all is read, if a sample has no version.
        retries: How often reading a remote file is tried again.
        storage_options: Options for the file system of fsspec.
        progress: Whether to show a bar.

    Raises:
        ContentError: if the folder, or one in it, cannot be listed, since its samples would look deleted.
        ValueError: if a pattern is none, patterns of fields do not have the same IDs, an option is wrong, or a cache
            would not be used.
    """
    check_on_error(on_error)
    if callable(hash_with) and cache is not None:
        raise ValueError("cache= is for bytes; give it to hash_with by functools.partial, if that takes one")
    groups = Groups.of(by)
    _refuse_unknown_fields(hash_with, groups)
    reading = Reading.of(
        byte_recipe(algorithm),
        workers=workers,
        trust=trust,
        cache=cache,
        retries=retries,
        storage_options=storage_options,
    )
    folder, glob = split_glob(os.fsdecode(place))
    wanted = None if glob is None else Pattern(glob)
    files = files_in(folder, hidden=hidden, storage_options=storage_options)
    samples = groups.samples(each for each in files if wanted is None or wanted.match(each.name))
    found = {
        name: _outcomes(used, _function(hash_with, name), reading, progress)
        for name, used in groups.used(samples).items()
    }
    frame = Scanned(groups, samples, found, algorithm).frame()
    if on_error == "raise":
        refuse_errors(frame.rename({METAXY_ERROR: ERROR}))
    return frame


def _refuse_unknown_fields(given: HashFunction | Mapping[str, HashFunction] | None, groups: "Groups") -> None:
    """Refuse functions for fields that there are not: the files would be hashed in another way, and nothing say so."""
    for name in given if isinstance(given, Mapping) else ():
        if name not in groups.fields:
            known = ", ".join(groups.fields)
            raise ValueError(f"hash_with= names {name!r}.{did_you_mean(name, groups.fields)} The fields are: {known}")


def _function(given: HashFunction | Mapping[str, HashFunction] | None, field: str) -> HashFunction | None:
    return given.get(field) if isinstance(given, Mapping) else given


def _outcomes(
    files: Sequence[Found], function: HashFunction | None, reading: Reading, progress: bool | None
) -> dict[Found, Outcome]:
    """Hash files, by a function of the user or by their bytes."""
    if function is not None:
        return dict(zip(files, _told(function([each.location for each in files]), len(files)), strict=True))
    stamps = {each.location: each.stamp for each in files if each.stamp is not None}
    slices = reading.slices([each.location for each in files], progress, stamps)
    return dict(zip(files, chain.from_iterable(outcomes for _, outcomes in slices), strict=True))


def _told(frame: Any, count: int) -> Iterator[Outcome]:
    """Return the outcomes that a hash function told.

    Raises:
        ValueError: if it is no frame with one row per file.
    """
    if not isinstance(frame, pl.DataFrame) or not {VERSION, ERROR} <= set(frame.columns) or frame.height != count:
        raise ValueError("hash_with= gives a frame with version and error, one row per file, as hash_files does")
    for row in frame.iter_rows(named=True):
        yield Outcome(row[VERSION], row[ERROR], {name: row.get(name) for name in FACTS})


# -- which files are one sample ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """A file of a sample: what tells it from the others of its field, and the file."""

    place: tuple[str, ...]
    file: Found


Sample: TypeAlias = "dict[str, list[Member]]"


@dataclass(frozen=True)
class Groups:
    """Which files are one sample: a pattern for each field, or none, so that every file is one."""

    patterns: Mapping[str, Pattern]
    has_fields: bool

    @classmethod
    def of(cls, by: str | Mapping[str, str] | None) -> "Groups":
        """Check patterns.

        Raises:
            ValueError: if they do not have the same IDs, or a name is taken.
        """
        if by is None:
            return cls({}, has_fields=False)
        texts = {DEFAULT_FIELD: by} if isinstance(by, str) else dict(by)
        groups = cls({name: Pattern(text) for name, text in texts.items()}, not isinstance(by, str))
        ids = {name: sorted(pattern.ids) for name, pattern in groups.patterns.items()}
        if len({*map(tuple, ids.values())}) != 1 or not all(ids.values()):
            raise ValueError(f"patterns name the same IDs, at least one, such as '{{id}}.wav', not {by!r}")
        columns = [*groups.ids, *groups.columns.values(), "size", "modified", METAXY_PROVENANCE_BY_FIELD, METAXY_ERROR]
        if twice := {name for name in columns if columns.count(name) > 1}:
            raise ValueError(f"{', '.join(sorted(twice))} would be several columns; name IDs and fields otherwise")
        return groups

    @property
    def ids(self) -> tuple[str, ...]:
        """The ID columns."""
        return next(iter(self.patterns.values())).ids if self.patterns else (PATH,)

    @property
    def columns(self) -> dict[str, str]:
        """The column with the paths of each field, none where the path is the ID."""
        if not self.has_fields:
            return dict.fromkeys(self.patterns, PATH)
        return {name: name for name in self.patterns}

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the feature."""
        return tuple(self.patterns) or (DEFAULT_FIELD,)

    def samples(self, files: Iterable[Found]) -> "dict[tuple[str, ...], Sample]":
        """Put files together, sorted by the IDs of the samples."""
        samples: dict[tuple[str, ...], Sample] = {}
        for file in files:
            for name, ids, place in self._places(file):
                samples.setdefault(ids, {}).setdefault(name, []).append(Member(place, file))
        return dict(sorted(samples.items()))

    def _places(self, file: Found) -> "Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]":
        if not self.patterns:
            yield DEFAULT_FIELD, (file.name,), ()
        for name, pattern in self.patterns.items():
            if (found := pattern.match(file.name)) is not None:
                by_name = dict(zip(pattern.ids, found[0], strict=True))
                yield name, tuple(by_name[each] for each in self.ids), found[1]

    def used(self, samples: "Mapping[tuple[str, ...], Sample]") -> dict[str, list[Found]]:
        """Return the files of each field, in their order."""
        used: dict[str, list[Found]] = {name: [] for name in self.fields}
        for sample in samples.values():
            for name, members in sample.items():
                used[name] += (member.file for member in members)
        return used

    def is_one_file(self, name: str) -> bool:
        """Whether a sample has one file of a field."""
        return not self.patterns or self.patterns[name].is_one_file


# -- what becomes of them ----------------------------------------------------------------------------------------------


@dataclass
class Scanned:
    """Samples, and what became of the files of each field."""

    groups: Groups
    samples: "Mapping[tuple[str, ...], Sample]"
    found: Mapping[str, Mapping[Found, Outcome]]
    algorithm: Algorithm

    def frame(self) -> pl.DataFrame:
        """Build the frame."""
        groups, samples = self.groups, self.samples.values()
        rows = [self._row(sample) for sample in samples]
        columns: list[pl.Series] = [
            pl.Series(name, [storable(ids[place]) for ids in self.samples], pl.String)
            for place, name in enumerate(groups.ids)
        ]
        for field, column in groups.columns.items():
            kind = pl.String() if groups.is_one_file(field) else pl.List(pl.String)
            columns.append(pl.Series(column, [self._paths(sample, field) for sample in samples], kind))
        by_field = pl.Struct(dict.fromkeys(groups.fields, pl.String))
        return pl.DataFrame(
            [
                *columns,
                *(pl.Series(name, [facts[name] for facts, _, _ in rows], FACTS[name]) for name in ("size", "modified")),
                pl.Series(METAXY_PROVENANCE_BY_FIELD, [versions for _, versions, _ in rows], by_field),
                pl.Series(METAXY_ERROR, [error for _, _, error in rows], pl.String),
            ]
        )

    def _paths(self, sample: Sample, name: str) -> Any:
        paths = [storable(member.file.name) for member in sample.get(name, ())]
        return (paths[0] if paths else None) if self.groups.is_one_file(name) else paths

    def _row(self, sample: Sample) -> "tuple[dict[str, Any], dict[str, str | None], str | None]":
        """Return the facts, versions by field and error of a sample."""
        told = {
            name: [(member, self.found[name][member.file]) for member in members] for name, members in sample.items()
        }
        outcomes = {member.file.name: outcome for each in told.values() for member, outcome in each}
        versions = {name: self._version(name, told.get(name, [])) for name in self.groups.fields}
        return _sum(outcomes.values()), versions, self._error(outcomes)

    def _version(self, name: str, told: Sequence[tuple[Member, Outcome]]) -> str | None:
        """Return the version of a field: that of its one file, or of all its files and their places."""
        if any(outcome.version is None for _, outcome in told):
            return None
        if self.groups.is_one_file(name) and told:
            return told[0][1].version
        return group_version(self.algorithm, [(member.place, str(outcome.version)) for member, outcome in told])

    def _error(self, outcomes: Mapping[str, Outcome]) -> str | None:
        failed = {name: outcome.error for name, outcome in outcomes.items() if outcome.error is not None}
        if not failed:
            return None
        first, why = next(iter(failed.items()))
        where = f"{storable(first)}: " if self.groups.patterns else ""
        return f"{where}{why}" + (f" (and {len(failed) - 1} more files)" if len(failed) > 1 else "")


def group_version(algorithm: Algorithm, members: Iterable[tuple[tuple[str, ...], str]]) -> str:
    """Return the version of several files: of the versions of all, and of what their wildcards stand for.

    >>> group_version("sha256", [])
    'sha256-files:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945'
    """
    text = json.dumps(sorted([list(place), version] for place, version in members), separators=(",", ":"))
    whole = hasher(algorithm)()
    whole.update(memoryview(text.encode("ascii")))
    return f"{algorithm}-files:{whole.hexdigest()}"


def _sum(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return the size of all files and when the last one changed, as far as it is known."""
    facts = [outcome.facts for outcome in outcomes]
    sizes: list[int] = [each["size"] for each in facts if each.get("size") is not None]
    times: list[datetime] = [each["modified"] for each in facts if each.get("modified") is not None]
    return {"size": sum(sizes) if sizes else None, "modified": max(times, default=None)}
