"""Formulas of fields: which data versions of which parents go into the provenance of each."""

from collections.abc import Mapping

from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.keys import FeatureKey
from metaxy.hashing import join_values
from metaxy.versioning.recipe import Field, Version


def needed_members(plan: FeaturePlan, parent: FeatureKey) -> list[tuple[str, str]]:
    """List the fields of a parent that some field needs, as member and key, sorted by member."""
    fields = plan.feature.fields
    needed = {fq.field for f in fields for fq in plan.get_parent_fields_for_field(f.key) if fq.feature == parent}
    return sorted((key.to_struct_key(), str(key)) for key in needed)


def field_formulas(plan: FeaturePlan, versions: Mapping[tuple[FeatureKey, str], Version]) -> tuple[Field, ...]:
    """Write the formula of each field over the data versions that are at hand.

    ``versions`` maps parent and field key to the data version; what is missing counts as an empty value, as it does for
    an optional parent without rows.
    """
    return tuple(_formula(plan, n, versions) for n in range(len(plan.feature.fields)))


def _formula(plan: FeaturePlan, index: int, versions: Mapping[tuple[FeatureKey, str], Version]) -> Field:
    spec = plan.feature.fields[index]
    texts, shorts = [join_values([str(spec.key), spec.code_version])], []
    for fq in sorted(plan.get_parent_fields_for_field(spec.key), key=str):
        texts[-1] = join_values([texts[-1], str(fq), ""])
        version = versions.get((fq.feature, str(fq.field)))
        if version:
            shorts.append(version.short)
            texts.append("")
    return Field(spec.key.to_struct_key(), f"v{index}", tuple(texts), tuple(shorts))
