"""`mx graph-diff`: what changed between two versions of the project, one of which may be the code in memory."""

from cyclopts import App

from metaxy.cli.failures import FAILURE, conflict, usage_error
from metaxy.cli.listing import no_features
from metaxy.cli.output import inform, warn
from metaxy.cli.pictures import Output, PictureFormat, PictureOptions, deliver, wants_color
from metaxy.cli.selection import Flag
from metaxy.cli.workspace import workspace
from metaxy.service.graph import CURRENT, LATEST, GitRevision, compare, picture, uncommitted, with_work
from metaxy.service.project import Project

app = App(name="graph-diff", help="Show what changed between two versions of the project.")


@app.command
def render(
    from_version: str | None = None,
    to_version: str | None = None,
    /,
    *,
    from_git: str | None = None,
    to_git: str | None = None,
    merge_base: Flag = False,
    store: str | None = None,
    format: PictureFormat = "terminal",
    output: Output = None,
    only_changes: Flag = False,
    stats: Flag = False,
    exit_code: Flag = False,
    strict: Flag = False,
    options: PictureOptions = PictureOptions(),  # noqa: B008 - frozen
) -> int:
    """Draw two versions of the project as one graph that shows what was added, removed, changed and affected, and how.

    A feature is changed if its own definition gives it other versions or samples, affected if something upstream does:
    then there is something to compute. It is only described differently if all its rows are still right. Versions are
    `latest` for what was pushed last, `current` for the code as it is, and the hashes that `mx history` shows, or how
    they start. Revisions of git need not have been pushed: their code is loaded in another process, from a temporary
    folder, with the packages that are installed now.

    Args:
        from_version: The older version; what was pushed last if not given. With --from-git, this is the newer version.
        to_version: The newer version; the code as it is if not given.
        from_git: A revision of git as the older version, such as `main`, `v1.2`, `HEAD~3` or a hash.
        to_git: A revision of git as the newer version.
        merge_base: Compare with the commit at which what is checked out left --from-git, as pull requests do.
        store: Where to look for what was pushed, and count samples; the default store if not given.
        format: What to draw it as.
        output: Write the picture into this file.
        only_changes: Leave out what is the same.
        stats: Count the samples of each feature that will be computed in the store; nothing is written.
        exit_code: Return 1 if there is something to compute, as for a check in CI.
        strict: With --exit-code, return 1 also if features are only described differently.
        options: What to show of the graph.
    """
    if strict and not exit_code:
        message = "--strict says what --exit-code counts"
        raise usage_error(message, code="MISSING_REQUIRED_FLAG", required_flags=["--exit-code"])
    project = workspace()
    if project.all_projects:
        raise conflict("a comparison is about one project", "--all-projects")
    old, new = _sides(from_version, to_version, from_git, to_git, merge_base=merge_base)
    config = options.config(format)
    if stats and new != CURRENT:
        raise conflict(f"--stats counts what the code as it is will compute: compare with {CURRENT!r}", "--stats")
    found = compare(project, old, new, store)
    found = with_work(project, found, store) if stats else found
    for version, side in ((old, found.old), (new, found.new)):
        if not side.nodes and isinstance(version, GitRevision):
            warn(f"git revision {version.name} has no features of this project")
        elif not side.nodes and version == CURRENT:
            warn(no_features(project))
    if from_git is not None or to_git is not None:
        _tell_of_uncommitted(project, is_shown=CURRENT in (old, new))
    painted = wants_color(format, output)
    text = picture(found.changes if only_changes else found.view, format, config, color=painted)
    deliver(text, output, "Diff rendered to", painted=painted)
    counted = found.is_described_differently if strict else found.needs_computing
    return FAILURE if exit_code and counted else 0


def _sides(
    from_version: str | None, to_version: str | None, from_git: str | None, to_git: str | None, *, merge_base: bool
) -> tuple[str | GitRevision, str | GitRevision]:
    """Return the older and the newer version."""
    if merge_base and from_git is None:
        message = "--merge-base says which commit of --from-git is meant"
        raise usage_error(message, code="MISSING_REQUIRED_FLAG", required_flags=["--from-git"])
    named = [version for version in (from_version, to_version) if version is not None]
    old: list[str | GitRevision] = [] if from_git is None else [GitRevision(from_git, at_fork=merge_base)]
    new: list[str | GitRevision] = [] if to_git is None else [GitRevision(to_git)]
    sides = [*old, *named, *new]
    if len(sides) > 2:
        raise conflict(
            "a comparison has two versions", *(["--from-git"] if old else []), *(["--to-git"] if new else [])
        )
    if new and len(sides) == 1:
        sides.insert(0, LATEST)
    sides += (LATEST, CURRENT)[len(sides) :]
    return sides[0], sides[1]


def _tell_of_uncommitted(project: Project, *, is_shown: bool) -> None:
    """Say that what is compared is not what is committed, if so."""
    if files := uncommitted(project):
        what = f"{files[0]} and {len(files) - 1} more files" if len(files) > 1 else files[0]
        inform(
            f"changes of {what} are not committed; " + (f"`{CURRENT}` has them" if is_shown else "they play no part")
        )
