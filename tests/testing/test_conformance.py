"""The conformance kit finds what is wrong with a store: here with that of a page, which is broken in several ways."""

import re
import subprocess
import sys
from pathlib import Path

from tests.docs.test_table_format import STRICT, source

BROKEN = """
from dataclasses import replace

import pytest
from metaxy.testing.conformance import StoreConformance


class Forgetful(ParquetStorage):  # it removes rows of which a condition does not know whether they fulfil it
    def delete(self, key, condition):
        super().delete(key, None if condition is None else condition | condition.is_null())


class Sticky(ParquetStorage):  # it has tables that were dropped
    def drop(self, key):
        if self.has_table(key):
            self.delete(key, None)


class Rounding(ParquetStorage):  # it keeps half of the digits
    def append(self, writes):
        rounded = pl.col(pl.Float64).cast(pl.Float32).cast(pl.Float64)
        frames = [nw.from_native(to_polars_lazy(write.frame).with_columns(rounded)) for write in writes]
        super().append([replace(write, frame=frame) for write, frame in zip(writes, frames)])


class Narrow(ParquetStorage):  # it has the columns that all rows have
    def scan(self, key):
        files = (self.root / key.table_name).glob("*.parquet")
        known = [pl.read_parquet_schema(file) for file in files]
        rows = super().scan(key)
        frame = rows.frame.select([name for name in rows.schema if all(name in schema for schema in known)])
        return replace(rows, frame=frame, schema=frame.collect_schema())


class Shy(ParquetStorage):  # it keeps dates, which `refuses` names
    pass


class Kit(StoreConformance):
    refuses = {"dates"}

    @pytest.fixture
    def make_store(self):
        return lambda folder, **options: MetadataStore(storage=self.kind(folder), engine=PolarsEngine(), **options)


def kit(kind):
    return type("Kit", (Kit,), {"kind": kind})


TestForgetful, TestSticky, TestRounding = kit(Forgetful), kit(Sticky), kit(Rounding)
TestNarrow, TestShy = kit(Narrow), kit(Shy)
"""
FOUND = {
    "TestForgetful::test_rows_are_removed_that_fulfil_the_condition",
    "TestForgetful::test_samples_that_fulfil_all_filters_are_counted_and_then_gone[hard]",
    "TestSticky::test_a_table_is_there_from_its_first_rows_until_it_is_dropped",
    "TestSticky::test_a_dropped_feature_is_gone",
    "TestRounding::test_values_of_all_types_come_back",
    "TestNarrow::test_rows_are_added_to_tables_that_may_gain_columns",
    "TestNarrow::test_new_columns_are_added_and_missing_ones_are_null",
    "TestShy::test_what_cannot_be_kept_is_refused_in_one_line",
}
SOUND = "TestShy::test_values_of_all_types_come_back"


def test_broken_stores_do_not_conform(tmp_path: Path) -> None:
    module = tmp_path / "test_broken.py"
    module.write_text(source() + BROKEN, encoding="utf-8")
    tests = [f"{module.name}::{test}" for test in sorted({*FOUND, SOUND})]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--tb=no", "-pmetaxy.testing.conformance", *STRICT, *tests],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    failed = re.findall(rf"^FAILED {module.name}::(\S+)", ran.stdout, re.MULTILINE)
    assert set(failed) == FOUND, ran.stdout + ran.stderr
