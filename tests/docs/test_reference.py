"""The reference page names every key and every verb; it is made from the code, so it cannot say anything else."""

import pytest
from tests.docs.reference import PAGE, TABLE, TABLES, rendered, store_classes, stores

from metaxy.config import MetaxyConfig
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.duckdb import DuckDBMetadataStore


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "verbs" else []) for name in TABLES]
)
def test_table_is_up_to_date(name: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = {found[2]: found[0] for found in TABLE.finditer(text)}
    assert shown[name] == rendered(shown[name]), "docs/reference.md is out of date: run `make reference`"


def test_page_has_every_table() -> None:
    assert [found[2] for found in TABLE.finditer(PAGE.read_text(encoding="utf-8"))] == list(TABLES)


@pytest.mark.parametrize("name", MetaxyConfig.model_fields)
def test_settings_say_what_they_mean(name: str) -> None:
    assert MetaxyConfig.model_fields[name].description
    assert f"| `{name}` |" in TABLES["settings"]()


def test_stores_are_found_with_all_their_keys() -> None:
    assert {DeltaMetadataStore, DuckDBMetadataStore} <= set(store_classes())
    text = stores()
    for store in store_classes():
        for name, field in store.config_model().model_fields.items():
            assert field.description, f"{store.__name__}: describe the key {name}"
            assert f"| `{name}` |" in text + TABLES["every_store"]()
