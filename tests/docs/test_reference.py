"""Tables of pages are made from the code and the tests, so they cannot say anything else."""

import re

import pytest
from tests.docs.reference import PAGES, TABLE, TABLES, rendered, store_classes, stores

from metaxy.config import MetaxyConfig
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.duckdb import DuckDBMetadataStore


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "verbs" else []) for name in TABLES]
)
def test_table_is_up_to_date(name: str) -> None:
    shown = {found[2]: found[0] for found in tables()}
    assert shown[name] == rendered(shown[name]), "the pages are out of date: run `make reference`"


def test_pages_have_every_table() -> None:
    assert [found[2] for found in tables()] == list(TABLES)


def tables() -> list[re.Match[str]]:
    return [found for page in PAGES for found in TABLE.finditer(page.read_text(encoding="utf-8"))]


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
