"""Catalogs of Iceberg: each is described by the properties that PyIceberg takes, and does all that a store needs."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.factory import rows, values
from tests.lakes.test_iceberg import use_every_verb
from tests.services import guarded_s3, iceberg_rest, postgres, s3
from tests.stores import bucket

from metaxy.errors import StoreConnectionError
from metaxy.ext.iceberg import IcebergMetadataStore
from metaxy.testing.conformance.threads import together

GLUE = {
    "type": "glue",
    "glue.region": "us-east-1",
    "glue.access-key-id": "testing",
    "glue.secret-access-key": "not-to-be-shown",
}


def rest(tmp_path: Path) -> IcebergMetadataStore:
    """A catalog that has a name for its warehouse, and says where tables are."""
    return IcebergMetadataStore("lake", namespace=tmp_path.name, catalog_properties=iceberg_rest.properties())


def glue(tmp_path: Path) -> IcebergMetadataStore:
    properties = GLUE | {"glue.endpoint": s3.endpoint(), **s3.iceberg_properties()}
    return IcebergMetadataStore(bucket(tmp_path), namespace=tmp_path.name, catalog_properties=properties)


@cache
def database(_: Path) -> str:
    """Create the database that stands for a folder."""
    return postgres.url(postgres.new_database()).replace("postgresql", "postgresql+psycopg", 1)


def postgresql(tmp_path: Path) -> IcebergMetadataStore:
    """A catalog that machines can share."""
    properties = {"type": "sql", "uri": database(tmp_path), **s3.iceberg_properties()}
    return IcebergMetadataStore(bucket(tmp_path), namespace=tmp_path.name, catalog_properties=properties)


CATALOGS: dict[str, Callable[[Path], IcebergMetadataStore]] = {"rest": rest, "glue": glue, "postgresql": postgresql}
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", CATALOGS)
def test_every_verb_works(name: str, tmp_path: Path) -> None:
    store = CATALOGS[name](tmp_path)
    with store:
        assert not store.has_feature("video")
    with store.open("w"):
        use_every_verb(store)
        assert store.catalog.list_tables(tmp_path.name) == [(tmp_path.name, "clip")]


@pytest.mark.parametrize("name", ["rest", "postgresql"])
def test_writers_create_a_table_and_append_at_once(name: str, tmp_path: Path) -> None:
    """Each through a connection of its own. Not on Glue, as moto does not check what a commit builds upon."""
    there = CATALOGS[name]
    with there(tmp_path).open("w"):
        pass  # the catalog is there, but not the table

    def write(number: int) -> None:
        with there(tmp_path).open("w") as mine:
            mine.write("video", rows(id=[f"{number}"]))
            mine.write("video", rows(id=[f"{number}-again"]))

    together(partial(write, number) for number in range(3))
    with there(tmp_path) as store:
        assert values(store.read("video")) == ["0", "0-again", "1", "1-again", "2", "2-again"]


def test_a_wrong_token_is_reported_and_never_shown(tmp_path: Path) -> None:
    wrong = iceberg_rest.properties() | {"token": "guessed-not-to-be-shown"}
    store = IcebergMetadataStore("lake", catalog_properties=wrong)
    with pytest.raises(StoreConnectionError) as caught, store.open("w"):
        store.write("video", rows(id=["a"]))
    assert "lake: " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "not-to-be-shown" not in f"{caught.value} {store!r}"


def test_a_catalog_that_does_not_answer_is_reported() -> None:
    store = IcebergMetadataStore("lake", catalog_properties={"type": "rest", "uri": "http://127.0.0.1:9"})
    with pytest.raises(StoreConnectionError, match="refused") as caught, store.open("w"):
        store.write("video", rows(id=["a"]))
    assert "\n" not in str(caught.value)


def test_a_password_that_the_database_refuses_is_never_shown(tmp_path: Path) -> None:
    right = database(tmp_path)
    wrong = right.replace(quote(postgres.PASSWORD, safe=""), "guessed-not-to-be-shown")
    assert wrong != right
    store = IcebergMetadataStore("s3://bucket/lake", catalog_properties={"type": "sql", "uri": wrong})
    with pytest.raises(StoreConnectionError, match="password authentication failed") as caught, store.open("w"):
        pass
    assert "\n" not in str(caught.value)
    assert "not-to-be-shown" not in f"{caught.value} {store!r}"


def test_a_key_that_glue_does_not_know_is_reported_and_never_shown() -> None:
    there = {"glue.endpoint": guarded_s3.options(guarded_s3.OWNER)["AWS_ENDPOINT_URL"]}
    store = IcebergMetadataStore("s3://bucket/lake", catalog_properties=GLUE | there)
    with (
        pytest.raises(StoreConnectionError, match="InvalidClientTokenId") as caught,
        store.open("w"),
    ):
        store.write("video", rows(id=["a"]))
    assert "\n" not in str(caught.value)
    assert "not-to-be-shown" not in str(caught.value)


def test_what_a_catalog_needs_is_named_where_it_is_missing() -> None:
    """The extra of PyIceberg, or where somebody has that, the server."""
    store = IcebergMetadataStore("lake", catalog_properties={"type": "hive", "uri": "thrift://127.0.0.1:9"})
    with pytest.raises(StoreConnectionError, match=r"pyiceberg\[hive\]|connect") as caught, store.open("w"):
        store.write("video", rows(id=["a"]))
    assert "\n" not in str(caught.value)


def test_properties_reach_pyiceberg_unaltered(tmp_path: Path) -> None:
    own = {"header.X-Team": "media", "s3.region": "eu-central-1", "anything.else": "Ä = 'b'; c"}
    given = iceberg_rest.properties() | own
    with IcebergMetadataStore("lake", catalog_properties=given) as store:
        assert store.catalog.properties.items() >= given.items() - {("token", iceberg_rest.TOKEN)}
        assert store.catalog.properties["warehouse"] == "lake"
