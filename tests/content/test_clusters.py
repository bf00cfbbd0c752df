"""Who is in which cluster: held against the plain definition, one input after another."""

import hashlib

import numpy as np
import polars as pl
import pytest

from metaxy.content import clusters as module
from metaxy.content.clusters import Known, clusters, fingerprint_of_bits, fingerprint_of_vector, vectors_of


def prints(count: int, size: int, seed: int, groups: int = 1) -> dict[str, str]:
    random = np.random.default_rng(seed)
    centers = random.normal(size=(count // 4, size))
    found = {}
    for place in range(count):
        vector = centers[place % len(centers)] + random.normal(size=size) * 0.3
        exact = f"text:{hashlib.sha256(f'{seed} {place}'.encode()).hexdigest()}"
        make = fingerprint_of_bits if place % 7 == 0 else fingerprint_of_vector
        found[exact] = make(f"g{place % groups}", vector > 0 if place % 7 == 0 else vector)
    return found


def plain(prints: dict[str, str], threshold: float, founders: dict[str, str]) -> dict[str, str]:
    """Return the founder of each input, by definition."""
    found = {}
    for exact in sorted(prints):
        kind = prints[exact].rpartition("/")[0]
        vector = vectors_of([prints[exact]])[0].astype(float)
        best, closest = exact, threshold
        for founder, other in founders.items():
            if other.rpartition("/")[0] == kind:
                there = vectors_of([other])[0].astype(float)
                similarity = vector @ there / np.linalg.norm(vector) / np.linalg.norm(there)
                if similarity >= closest and (best == exact or similarity > closest):
                    best, closest = founder, similarity
        founders = founders | ({exact: prints[exact]} if best == exact else {})
        found[exact] = best
    return found


def test_clusters_are_those_of_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 16)
    monkeypatch.setattr(module, "CHUNK", 8)
    for size in (24, 2000):  # 2000 numbers need sums in doubles
        first, second = prints(120, size, 1, groups=2), prints(90, size, 1)
        found = clusters("near", first, 0.9, Known())
        expected = plain(first, 0.9, {})
        assert {exact: member.version for exact, member in found.items()} == {
            exact: f"near:{founder[5:]}" for exact, founder in expected.items()
        }
        assert 20 < len(set(expected.values())) < 110
        rows = [(exact, member.similarity, member.version, first[exact]) for exact, member in found.items()]
        frame = pl.DataFrame(rows, schema=["exact", "similarity", "version", "fingerprint"], orient="row")
        later = clusters("near", second | first, 0.9, Known.of("near", frame.sample(fraction=1, shuffle=True, seed=1)))
        founders = {founder: first[founder] for founder in expected.values()}
        new = {exact: each for exact, each in second.items() if exact not in first}
        assert {exact: later[exact] for exact in first} == found
        assert {exact: later[exact].version[5:] for exact in new} == {
            exact: founder[5:] for exact, founder in plain(new, 0.9, founders).items()
        }


def test_what_is_known_is_as_it_was_returned() -> None:
    row = {"exact": "text:a", "version": "near:a", "fingerprint": "g/b8/qg==", "similarity": 1.0}
    assert len(Known.of("near", pl.DataFrame([row, row])).members) == 1
    for wrong in ({"exact": None}, {"fingerprint": None}, {"fingerprint": "junk"}, {"fingerprint": "g/v8/qg=="}):
        with pytest.raises(ValueError, match="1 rows with a version, but no exact version or fingerprint"):
            Known.of("near", pl.DataFrame([row | wrong]))
    for name, value in (("similarity", "close"), ("exact", [1])):
        with pytest.raises(ValueError, match="other types than this function returned"):
            Known.of("near", pl.DataFrame([row | {name: value}]))


def test_vectors_survive_as_text() -> None:
    bits = np.arange(13) % 3 == 0
    assert vectors_of([fingerprint_of_bits("g", bits), fingerprint_of_bits("g", ~bits)]).tolist() == [
        (bits * 2 - 1).tolist(),
        (1 - bits * 2).tolist(),
    ]
    assert vectors_of([fingerprint_of_vector("g", np.array([0.5, -1, 0.25]))]).tolist() == [[64, -127, 32]]
    assert vectors_of([fingerprint_of_vector("g", np.zeros(2))]).tolist() == [[0, 0]]
    with pytest.raises(ValueError, match="not finite"):
        fingerprint_of_vector("g", np.array([1, np.nan]))
