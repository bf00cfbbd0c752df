"""Each known defect of metaxy 0.1's definitions, versions and configuration has tests that would find it here.

Defects of its stores have numbers of their own, which stand in the names of the tests: `db00` to `db30`.
Tests of the conformance kit have no numbers; they stand here as `kit/…`.
"""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
KIT = TESTS.parent / "src" / "metaxy" / "testing" / "conformance"
DEFECTS = {
    "three or more parents cannot be joined": "kit/resolving.py::test_one_to_twelve_parents",
    "parents of different granularity give false stale rows": (
        "conformance/test_lineage.py::test_parents_of_different_granularity"
    ),
    "the default hash has 26 bits": "conformance/test_hash_settings.py::test_the_default_is_the_same_in_every_store",
    "separators in code versions make different inputs equal": (
        "definitions/test_fields.py::test_code_versions_have_no_separators_or_control_characters"
    ),
    "separators in values make different inputs equal": "golden/test_samples.py::escape_separators",
    "a NULL version is stored and can never become stale": (
        "conformance/test_update.py::test_db07_null_versions_that_others_stored_are_named"
    ),
    "an optional parent needs a table": (
        "conformance/test_update.py::test_features_whose_optional_parents_have_no_tables_expect_nothing"
    ),
    "a selection loses the order of groups": (
        "conformance/test_lineage.py::test_groups_are_hashed_in_the_order_of_ids_that_are_not_selected"
    ),
    "an aggregation has no form with one row per group": "conformance/test_info.py::test_progress_counts_groups",
    "any child decides for all children of a parent": (
        "conformance/test_lineage.py::test_one_child_that_disagrees_makes_its_parent_stale"
    ),
    "faults of definitions are found late or never": (
        "dag/test_registration.py::test_a_fault_is_reported_when_the_last_feature_involved_is_registered"
    ),
    "cycles end in a RecursionError": "dag/test_registration.py::test_a_cycle_is_refused_in_any_order",
    "names of tables and by-field columns collide": (
        "dag/test_registration.py::test_features_differ_in_table_name_and_column_suffix"
    ),
    "ID columns that a class lacks": (
        "definitions/test_feature_classes.py::test_a_class_with_columns_should_declare_its_id_columns"
    ),
    "filters are parsed when they are used": "definitions/test_dependencies.py::test_a_bad_dependency_is_refused",
    "keys without parts, or with a newline": "definitions/test_keys.py::test_a_bad_key_is_refused",
    "a bare string where a list is meant": "definitions/test_specs.py::test_a_bad_spec_is_refused",
    "dependents include their sources": "dag/test_order.py::test_dependents_are_sorted_and_exclude_their_sources",
    "`isolated` does not work": "project/test_packages.py::test_isolated_loads_only_what_the_project_needs",
    "METAXY_ENTRYPOINTS is read as modules": (
        "project/test_loading.py::test_entrypoints_in_a_variable_are_a_key_of_the_configuration"
    ),
    "variables without a prefix change stores": "config/test_sources.py::test_bare_variables_never_leak_in",
    "METAXY_CONFIG wins over an argument": "config/test_files.py::test_an_argument_wins_over_variables",
    "without parents, the folder itself is not searched": (
        "config/test_files.py::test_without_parents_only_the_start_is_searched"
    ),
    "modules that are imported already register nothing": (
        "project/test_loading.py::test_modules_imported_before_are_registered"
    ),
    "locking twice empties the lock file": "project/test_lock.py::test_locking_again_changes_nothing",
    "versions in a lock file are never checked": "project/test_lock.py::test_drift_is_a_warning",
    "another file as lock file is a TypeError": "project/test_lock.py::test_a_malformed_file_says_what_to_do",
    "a selection cannot be empty": "definitions/test_selections.py::test_selections_combine",
    "stored rows do not validate": "definitions/test_feature_classes.py::test_an_instance_is_a_stored_row",
    "dependencies can be changed after versions are known": (
        "definitions/test_dependencies.py::test_dependencies_are_frozen"
    ),
    "fields can be changed after versions are known": (
        "definitions/test_fields.py::test_fields_are_frozen_and_can_be_hashed"
    ),
    "versions are computed again for each path to a field": (
        "dag/test_versions.py::test_each_feature_is_versioned_once"
    ),
    "versions keep an old length": "conformance/test_update.py::test_settings_of_the_moment_count",
    "settings are built anew, with a warning, for each hash": (
        "config/test_active.py::test_current_settings_follow_the_environment_and_never_warn"
    ),
    "threads see another configuration": "config/test_active.py::test_set_is_seen_by_all_threads",
    "the import loads everything": "architecture/test_imports.py::test_imports_are_light",
    "temporary columns collide with those of users": "kit/names.py::test_hostile_names_work_in_every_verb",
    "columns are taken by their place (db00)": "kit/reading.py::test_a_renamed_column_never_shifts_values",
    "the latest row is found by chance (db02)": (
        "kit/reading.py::test_ties_are_broken_alike_everywhere_and_rows_stay_whole"
    ),
    "IDs repeat in one write (db06)": "kit/tables.py::test_the_last_of_different_rows_is_kept_if_asked",
    "threads close each other's stores (db12)": "kit/threads.py::test_each_thread_opens_and_closes_for_itself",
    "a dropped feature is still there (db19)": "kit/tables.py::test_a_dropped_feature_is_gone",
    "prose changes the version of a definition": (
        "definitions/test_feature_classes.py::test_only_names_and_types_of_columns_are_part_of_the_definition"
    ),
    "messages print whole specs": "definitions/test_specs.py::test_messages_do_not_print_whole_specs",
    "warnings have no classes to filter by": "architecture/test_warnings.py::test_a_warning_is_given_with_its_class",
    "a wrong algorithm is no configuration error": "config/test_stores.py::test_wrong_options",
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_known_defect_has_a_test(defect: str) -> None:
    file, name = DEFECTS[defect].split("::")
    path = KIT / file.removeprefix("kit/") if file.startswith("kit/") else TESTS / file
    tree = ast.parse(path.read_text("utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
