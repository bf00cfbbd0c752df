"""Tables with a database's own type for UUIDs, as others may have made them: their values are text, as everywhere."""

from pathlib import Path
from typing import Any
from uuid import UUID

import narwhals as nw
import pytest
from tests.factory import define, ids, rows, values
from tests.stores import STORES

from metaxy.errors import MetadataSchemaError

ONE, TWO, THREE = UUIDS = [UUID(int=n) for n in (1, 2, 3)]
TEXTS = [str(uuid) for uuid in UUIDS]
BY_HAND = {
    "duckdb": 'ALTER TABLE thing ALTER COLUMN "{0}" TYPE UUID',
    "postgresql": 'ALTER TABLE thing ALTER COLUMN "{0}" TYPE uuid USING CAST("{0}" AS uuid)',
    "clickhouse": "ALTER TABLE thing MODIFY COLUMN `{0}` Nullable(UUID)",
}


@pytest.mark.parametrize("name", BY_HAND)
def test_columns_of_uuids_are_texts(name: str, tmp_path: Path) -> None:
    define("thing")
    define("other", "thing")
    with STORES[name](tmp_path).open("w") as store:
        store.write("thing", rows(id=[ONE, TWO], u=[TWO, None]))
        storage: Any = store.storage
        for column in ("u",) if name == "clickhouse" else ("id", "u"):  # its keys must not change
            storage.connection.execute(BY_HAND[name].format(column))
        assert values(store.read("thing"), "id", "u") == [(TEXTS[0], TEXTS[1]), (TEXTS[1], None)]
        store.write("thing", rows(id=[THREE], u=[ONE]))
        for engine in ("auto", "polars"):
            found = store.resolve_update("thing", samples=rows(["1", "2"], id=UUIDS[:2]), versioning_engine=engine)
            assert ids(found) == ([], [TEXTS[1]], [TEXTS[2]]), engine
        store.write("other", store.resolve_update("other", lazy=True).new)
        assert not store.resolve_update("other")
        given: Any = [ONE, TWO]
        assert values(store.read("thing", filters=[nw.col("u").is_in(given)])) == [TEXTS[0], TEXTS[2]]
        store.delete("thing", nw.col("u") == given[0], soft=False)
        store.delete("thing", nw.col("id").is_in(given[1:]))
        assert values(store.read("thing")) == [TEXTS[0]]
        if name != "clickhouse":
            with pytest.raises(MetadataSchemaError, match="feature thing: "):
                store.write("thing", rows(id=["no UUID"]))
