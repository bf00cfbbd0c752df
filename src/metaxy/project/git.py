"""A git repository, read only: any revision of it is written into another folder; work tree and index stay untouched.

Names of revisions may come from anyone. They are one argument each, never text of a shell, and never an option.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from metaxy.errors import RequestError
from metaxy.wording import did_you_mean

# What a hook of git sets for the commands that it runs: they would look at another repository, index or namespace. Then
# what gives patterns of files another meaning.
_OF_HOOKS: Final = frozenset(
    f"GIT_{name}"
    for name in (
        *("DIR", "WORK_TREE", "IMPLICIT_WORK_TREE", "COMMON_DIR", "INDEX_FILE", "PREFIX", "INTERNAL_SUPER_PREFIX"),
        *("OBJECT_DIRECTORY", "ALTERNATE_OBJECT_DIRECTORIES", "SHALLOW_FILE", "GRAFT_FILE", "NAMESPACE", "ATTR_SOURCE"),
        *("NO_REPLACE_OBJECTS", "REPLACE_REF_BASE"),
        *("LITERAL_PATHSPECS", "GLOB_PATHSPECS", "NOGLOB_PATHSPECS", "ICASE_PATHSPECS"),
    )
)
# No messages of another language, no questions.
_QUIETLY: Final = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
# No hooks, no locks, and no downloads of large files, be it that what makes them is not even installed.
_SETTINGS: Final = (
    f"core.hooksPath={os.devnull}",
    "core.fsmonitor=false",
    *(f"filter.lfs.{name}" for name in ("process=", "smudge=", "required=false")),
)
_OPTIONS: Final = (*(part for setting in _SETTINGS for part in ("-c", setting)), "--no-optional-locks")
_CODE: Final = ("*.py", "*.toml", "*.lock")
_SHALLOW: Final = (
    "this clone has only a part of the history: run `git fetch --unshallow`, or set `fetch-depth: 0` in CI"
)


@dataclass(frozen=True)
class Repository:
    """A repository with a work tree, whose first folder is ``top``."""

    top: Path

    @classmethod
    def around(cls, folder: Path) -> "Repository":
        """Return the repository that a folder is in.

        Raises:
            RequestError: if it is in none, or git is not installed.
        """
        done = _git(folder, "rev-parse", "--show-toplevel")
        if done.returncode:
            problem = _problem(done)
            message = f"{folder} is in no git repository" if "not a git repository" in problem else problem
            raise RequestError("GIT_REPOSITORY_NOT_FOUND", message, kind="request")
        return cls(Path(done.stdout.removesuffix("\n")).resolve())

    def commit(self, revision: str) -> str:
        """Return the hash of the commit that a revision names, such as ``main``, ``v1.2``, ``HEAD~3`` or a hash.

        Raises:
            RequestError: if there is no such commit.
        """
        if revision and not revision.startswith("-") and revision.isprintable():
            done = _git(self.top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
            found = done.stdout.strip()
            if done.returncode == 0 and found.isalnum():  # ^main is what main is not
                return found
        raise RequestError(
            "REVISION_NOT_FOUND",
            f"there is no revision {revision!r} in {self.top}.{self._meant(revision)}",
            hint=_SHALLOW if self._is_shallow else "",
            kind="request",
        )

    def is_own(self, commit: str) -> bool:
        """Return whether what is checked out or a local branch has a commit in its history, so that its code is known.

        What was only fetched, such as the branch of a stranger, is not.
        """
        if _git(self.top, "merge-base", "--is-ancestor", commit, "HEAD").returncode == 0:
            return True
        return bool(_git(self.top, "for-each-ref", "--count=1", "--contains", commit, "refs/heads").stdout.strip())

    def fork(self, commit: str) -> str:
        """Return the commit at which what is checked out left the history of another commit.

        Raises:
            RequestError: if they have no history in common.
        """
        done = _git(self.top, "merge-base", commit, "HEAD")
        if done.returncode:
            message = f"{commit[:8]} and what is checked out have no history in common"
            raise RequestError("REVISION_NOT_FOUND", message, hint=_SHALLOW if self._is_shallow else "")
        return done.stdout.strip()

    def write(self, commit: str, folder: Path, index: Path) -> None:
        """Write the files of a commit into a folder, by an index of their own; no hook runs."""
        own = {"GIT_INDEX_FILE": str(index)}
        for arguments in (("read-tree", commit), ("checkout-index", "--all", "--quiet", f"--prefix={folder}/")):
            done = _git(self.top, *arguments, **own)
            if done.returncode:
                raise RequestError("GIT_FAILED", f"the files of {commit[:8]} cannot be written: {_problem(done)}")

    def uncommitted(self) -> list[str]:
        """Return the files of code and configuration that differ from the last commit, or are not in it."""
        done = _git(self.top, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", *_CODE)
        return sorted(entry[3:] for entry in done.stdout.split("\0") if entry)

    def _meant(self, revision: str) -> str:
        places = ("refs/heads", "refs/remotes", "refs/tags")
        known = _git(self.top, "for-each-ref", "--format=%(refname:short)", *places).stdout.split()
        names = [name for name in known if not name.startswith("-")]  # which would be refused as well
        fetched = [name for name in names if revision and name.endswith(f"/{revision}")]
        return f" Did you mean {fetched[0]!r}?" if fetched else did_you_mean(revision, names)

    @property
    def _is_shallow(self) -> bool:
        return _git(self.top, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"


def _git(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name not in _OF_HOOKS}
    try:
        return subprocess.run(  # noqa: S603 - arguments are no text of a shell
            ["git", *_OPTIONS, *arguments],  # noqa: S607 - the one that the user has
            cwd=folder,
            env=environment | _QUIETLY | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except FileNotFoundError:
        message = "git is not installed, or not on PATH, and a revision is read with it"
        raise RequestError("GIT_NOT_FOUND", message, hint="install git", kind="request") from None


def _problem(done: "subprocess.CompletedProcess[str]") -> str:
    """Return what git said went wrong, in one line; it may say how to mend it in several."""
    return " ".join(done.stderr.removeprefix("fatal: ").split()) or f"git returned {done.returncode}"
