"""Checks of assets that are features: is it in sync, and did all samples succeed?"""

from collections.abc import Callable
from typing import Any, Final

import dagster as dg
from dagster import AssetCheckExecutionContext
from metaxy.ext.dagster.targets import Assets, FeatureAsset, assets_of
from metaxy.service.computing import SHOWN_ERRORS, Needs, Target
from metaxy.service.project import Project

IN_SYNC: Final = "in_sync"
NO_ROW_ERRORS: Final = "no_row_errors"
Answer = tuple[bool, str, dict[str, Any]]


def build_in_sync_checks(
    assets: Assets,
    *,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN,
    blocking: bool = False,
    store_resource_key: str = "store",
) -> list[dg.AssetChecksDefinition]:
    """Check that features have what they should have: no sample is new, stale or orphaned. It costs one count each.

    Roots are left out, unless a function that `computes` decorates lists their samples: nothing else says what they
    should have. A check counts all partitions of an asset, and of ``metaxy/partition`` only those rows.

    Args:
        assets: assets, or specs of some; those that are no features are left out.
        severity: of a check that fails.
        blocking: whether assets that depend on one that fails are not materialized in the same run.
        store_resource_key: the resource that has the store.

    Raises:
        ValueError: if none of them can be checked.
    """
    found = [asset for asset in assets_of(Project.loaded(), assets) if asset.can_be_counted]
    description = "No sample is new, stale or orphaned."
    return _checks(found, IN_SYNC, description, _in_sync, severity, store_resource_key, blocking=blocking)


def build_row_error_checks(
    assets: Assets,
    *,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN,
    blocking: bool = False,
    store_resource_key: str = "store",
) -> list[dg.AssetChecksDefinition]:
    """Check that no sample of features has an error that counts, as `MetadataStore.read_errors` returns them.

    Args:
        assets: assets, or specs of some; those that are no features are left out.
        severity: of a check that fails.
        blocking: whether assets that depend on one that fails are not materialized in the same run.
        store_resource_key: the resource that has the store.

    Raises:
        ValueError: if none of them is a feature.
    """
    found = list(assets_of(Project.loaded(), assets))
    description = "All samples could be computed."
    return _checks(found, NO_ROW_ERRORS, description, _no_row_errors, severity, store_resource_key, blocking=blocking)


def _in_sync(target: Target) -> Answer:
    needs = target.needs() or Needs()
    if needs.no_input is not None:
        return False, needs.no_input, {}
    counts = f"{needs.new:,} new, {needs.stale:,} stale, {needs.orphaned:,} orphaned"
    return needs.in_sync, counts, {f"metaxy/{name}": getattr(needs, name) for name in ("new", "stale", "orphaned")}


def _no_row_errors(target: Target) -> Answer:
    errors = target.errors()
    metadata: dict[str, Any] = {"metaxy/failed": len(errors)}
    if errors:
        lines = [f"- {dict(each.ids)}: {each.error_type}: {each.error_message}" for each in errors[:SHOWN_ERRORS]]
        metadata["metaxy/errors"] = dg.MetadataValue.md("\n".join(lines))
    return not errors, f"{len(errors):,} failed", metadata


def _checks(
    assets: list[FeatureAsset],
    name: str,
    description: str,
    ask: Callable[[Target], Answer],
    severity: dg.AssetCheckSeverity,
    resource_key: str,
    *,
    blocking: bool,
) -> list[dg.AssetChecksDefinition]:
    if not assets:
        raise ValueError(f"none of the assets is a feature that the check {name!r} can say anything about")

    def check(asset: FeatureAsset) -> dg.AssetChecksDefinition:
        @dg.asset_check(
            asset=asset.key,
            name=name,
            description=description,
            blocking=blocking,
            required_resource_keys={resource_key},
        )
        def run(context: AssetCheckExecutionContext) -> dg.AssetCheckResult:
            passed, text, metadata = ask(asset.target(getattr(context.resources, resource_key)))
            return dg.AssetCheckResult(passed=passed, severity=severity, description=text, metadata=metadata)

        return run

    return list(map(check, assets))
