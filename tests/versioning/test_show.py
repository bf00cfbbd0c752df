"""What users see of flat rows in Arrow."""

import pyarrow as pa
import pytest

from metaxy.versioning.codec import output_arrow

STATUSES = [1, 1, 2, 3, 2]


@pytest.mark.parametrize(
    ("wanted", "ids", "is_copied"),
    [([1], "ab", False), ([2], "ce", True), ([1, 2, 3], "abcde", False), ([4], "", False)],
)
def test_rows_that_follow_each_other_are_not_copied(wanted: list[int], ids: str, is_copied: bool) -> None:
    flat = pa.table({"status": pa.array(STATUSES, pa.int32()), "k0": list("abcde")})
    shown = output_arrow(flat, wanted, {"id": "k0"})
    assert shown.to_pydict() == {"id": list(ids)}
    texts = [chunk.buffers()[2] for table in (flat["k0"], shown["id"]) for chunk in table.chunks]
    assert (len({text.address for text in texts if text}) == 2) == is_copied
