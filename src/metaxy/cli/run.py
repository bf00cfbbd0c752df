"""`mx run`: compute what changed, feature after feature."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from metaxy.cli.failures import FAILURE, conflict
from metaxy.cli.output import OutputFormat, done, print_json, print_table, say, warn
from metaxy.cli.selection import Features, Flag, Store
from metaxy.cli.workspace import workspace
from metaxy.service import running

Positive = Annotated[int | None, Parameter(validator=Number(gte=1))]
PLANNED = ("limit", "errors")  # what changes how many samples would be computed
SHOWN_ERRORS = 3  # of each feature
Levels = Annotated[int, Parameter(validator=Number(gte=0))]


def run(
    features: Features = None,
    *,
    store: Store = None,
    up: Levels = 0,
    down: Levels = 0,
    dry_run: Flag = False,
    watch: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    limit: Positive = None,
    workers: Positive = None,
    batch_size: Positive = None,
    executor: Literal["thread", "process", "async"] | None = None,
    on_error: Literal["record", "raise"] | None = None,
    errors: running.Errors | None = None,
    orphaned: Literal["keep", "soft_delete", "delete"] | None = None,
    claim: Flag = False,
    lease: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    format: OutputFormat = "plain",
) -> int:
    """Compute what is new and stale, by the functions that are decorated with @mx.computes; parents come first.

    Fails if something is left to compute, as a sample or a feature failed or nothing computes it.

    Args:
        features: The features; all of the project if none is named.
        up: Of so many levels of their parents as well.
        down: Of so many levels of their children as well.
        dry_run: Only show how many samples would be computed, in order; options for functions mean nothing then.
        watch: Run again and again, with so many seconds between, until Ctrl-C.
        limit: At most so many samples of each feature.
        workers: How many calls run at once.
        batch_size: Samples per batch.
        executor: Where functions are called.
        on_error: Record the errors of samples and go on, or end the feature at the first one.
        errors: Whether samples that failed before are tried again, left out, or alone are tried.
        orphaned: Whether samples whose parents are gone are deleted.
        claim: Share the samples with other processes that do so, too.
        lease: With claim: after so many seconds without a sign of life, others may take what was claimed; 600 by
            default.
    """
    asked: dict[str, Any] = {
        "limit": limit,
        "workers": workers,
        "batch_size": batch_size,
        "executor": executor,
        "on_error": on_error,
        "errors": errors,
        "orphaned": orphaned,
        "claim": claim or None,
        "lease": timedelta(seconds=lease) if lease else None,
    }
    options = {name: value for name, value in asked.items() if value is not None}
    _refuse_senseless(options, dry_run=dry_run, watch=watch)
    project = workspace()
    if dry_run:
        return _show_plan(running.dry_run(project, features, store=store, up=up, down=down, **options), format)
    while True:
        report = running.compute(
            project, features, store=store, up=up, down=down, progress=sys.stderr.isatty(), **options
        )
        verdict = _show(report, format)
        if watch is None:
            return verdict
        time.sleep(watch)


def _refuse_senseless(options: Mapping[str, Any], *, dry_run: bool, watch: float | None) -> None:
    """Refuse options that would change nothing."""
    if "lease" in options and "claim" not in options:
        raise conflict("--lease is for samples that are claimed: add --claim, or leave it out", "--lease")
    given = [*(name for name in options if name not in PLANNED), *(["watch"] if watch is not None else [])]
    if dry_run and given:
        flags = [f"--{name.replace('_', '-')}" for name in given]
        message = f"--dry-run calls no function, so {' and '.join(flags)} would mean nothing: leave them out"
        raise conflict(message, "--dry-run", *flags)


def _show_plan(plans: Sequence[running.Plan], format: OutputFormat) -> int:
    if format == "json":
        print_json({"plan": [asdict(each) for each in plans]})
        return 0
    counts = [["-" if count is None else f"{count:,}" for count in (each.new, each.stale)] for each in plans]
    rows = [[each.feature, each.function or "-", *count] for each, count in zip(plans, counts, strict=True)]
    print_table("", ["Feature", "Function", "New", "Stale"], rows)
    say("Dry run: nothing was computed; children of what is computed first may need more.")
    return 0


def _show(report: running.RunReport, format: OutputFormat) -> int:
    if format == "json":
        print_json(_as_data(report))
    else:
        print_table("", ["Feature", "Function", "Samples", "Done", "Failed"], list(map(_row, report.reports)))
        _show_problems(report)
        if report.in_sync:
            done("All is in sync.")
        else:
            say("Not all is in sync.")
    return 0 if report.in_sync else FAILURE


def _show_problems(report: running.RunReport) -> None:
    """Say of which samples and features something is left, and why."""
    for each in report.reports:
        _show_samples(each)
    for name, function in report.without_samples.items():
        warn(f"{name}: {function} found no samples")
    for name, count in report.without_function.items():
        warn(f"{name}: no function computes it" + (f", and {count:,} samples are new or stale" if count else ""))
    for name, message in report.failures.items():
        warn(message if name in message else f"{name}: {message}")


def _show_samples(each: Any) -> None:
    """Say which samples of a feature are left, and why."""
    for error in each.errors[:SHOWN_ERRORS]:
        warn(f"{each.feature}: {error}")
    if each.failed > SHOWN_ERRORS:
        warn(f"{each.feature}: {each.failed - SHOWN_ERRORS:,} more failed: `mx metadata errors` shows them")
    if each.lost:
        warn(f"{each.feature}: {each.lost:,} samples were lost to other workers, as their leases had expired")
    if each.elsewhere:
        say(f"{each.feature}: {each.elsewhere:,} samples are held by other workers.")
    if each.limited:
        say(f"{each.feature}: there are more samples to compute than the limit; run again to go on.")
    if each.unread:
        warn(f"{each.feature}: {each.unread:,} samples could not be read, so they stay as they are")


def _row(each: Any) -> list[str]:
    return [each.feature, each.function, *(f"{count:,}" for count in (each.total, each.done, each.failed))]


def _as_data(report: running.RunReport) -> dict[str, Any]:
    features = {}
    for each in report.reports:
        data = asdict(each)
        data["errors"] = [str(error) for error in each.errors]
        features[each.feature] = data
    return {
        "features": features,
        "without_function": dict(report.without_function),
        "without_samples": dict(report.without_samples),
        "failures": dict(report.failures),
        "in_sync": report.in_sync,
    }
