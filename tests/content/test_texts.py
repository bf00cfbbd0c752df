"""Versions of texts: equal characters, or equal meaning."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from model2vec import StaticModel
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

import metaxy.content as content
from metaxy.errors import ContentError


def test_texts_are_equal_where_what_counts_is() -> None:
    texts = ["Café", "Cafe\u0301", b"Caf\xc3\xa9", " Café\r\n", "CAFÉ", "Caﬁ", "Cafi", ""]

    def groups(**rules: object) -> list[int]:
        versions = content.hash_texts(texts, **rules)["version"].to_list()  # type: ignore[arg-type]
        return [versions.index(version) for version in versions]

    assert groups() == [0, 0, 0, 3, 4, 5, 6, 7]
    assert groups(unicode=None) == [0, 1, 0, 3, 4, 5, 6, 7]
    assert groups(unicode="NFKC") == [0, 0, 0, 3, 4, 5, 5, 7]
    assert groups(whitespace=True) == [0, 0, 0, 0, 4, 5, 6, 7]
    assert groups(whitespace=True, case=True) == [0, 0, 0, 0, 0, 5, 5, 7]
    recipes = [{}, {"unicode": None}, {"unicode": "NFKC"}, {"whitespace": True}, {"case": True}]
    assert len({content.hash_texts(["a"], **rules)["version"][0] for rules in recipes}) == 5  # type: ignore[arg-type]
    assert content.hash_texts(pl.Series(texts[3:])).equals(content.hash_texts(iter(texts[3:])))


def test_bad_texts_are_rows() -> None:
    bad = [None, 3, "half \ud83d", b"\xff", ["a"], float("nan")]
    for method in ("exact", "semantic") if find_spec("wordllama") else ("exact",):
        found = content.hash_texts([*bad, "good"], method)
        assert found["version"].is_null().to_list() == [True] * len(bad) + [False]
        assert found["error"].is_null().to_list() == [False] * len(bad) + [True]
    with pytest.raises(ContentError, match=r"1 of 2 inputs have no version, the first is input 1: .*no text"):
        content.hash_texts(["a", None], on_error="raise")
    with pytest.raises(TypeError, match="texts are several"):
        content.hash_texts("a text")
    with pytest.raises(ValueError, match="unicode='NFD' is none of"):
        content.hash_texts([], unicode="NFD")  # type: ignore[arg-type]
    assert content.hash_texts([]).columns == ["characters", "version", "error"]


needs_model = pytest.mark.skipif(find_spec("wordllama") is None, reason="wordllama has no wheel for this Python")
RESET = ["How do I reset my password?", "What is the way to reset my password?"]
GUITAR = ["A man is playing a guitar.", "A man plays the guitar."]


@needs_model
def test_texts_that_mean_the_same_share_a_version() -> None:
    texts = [*RESET, *GUITAR, "It is allowed", "It is not allowed", "Pay 100 euros", "Pay 900 euros", "", RESET[0]]
    found = content.hash_texts(texts, "semantic")
    versions = found["version"].to_list()
    assert [versions.index(version) for version in versions] == [0, 0, 2, 2, 4, 5, 6, 7, 8, 0]
    assert found.columns == ["characters", "exact", "fingerprint", "similarity", "version", "error"]
    assert found.reverse().equals(content.hash_texts(texts[::-1], "semantic"))
    assert content.hash_texts(texts[:2], "semantic", threshold=0.99)["version"].n_unique() == 2


@needs_model
def test_known_texts_keep_their_versions() -> None:
    first = content.hash_texts([RESET[1], GUITAR[1]], "semantic")
    for known in (first, first.lazy(), pl.concat([first, content.hash_texts([None], "semantic")])):
        later = content.hash_texts([*RESET, *GUITAR], "semantic", known=known)
        assert later["version"].to_list() == [first["version"][0]] * 2 + [first["version"][1]] * 2
    both = pl.concat([first, later])
    gone = both.filter(pl.col("exact") != first["exact"][0])  # another one stands in for the founder
    again = content.hash_texts([RESET[1]], "semantic", known=gone)
    assert again["version"].to_list() == first["version"].to_list()[:1]
    with pytest.raises(ContentError, match=r"known= has 2 versions of 'semantic-wordllama-\w+-nfc', but"):
        content.hash_texts(GUITAR, "semantic", case=True, known=first)
    with pytest.raises(ValueError, match="known= has no column 'exact'"):
        content.hash_texts(GUITAR, "semantic", known=content.hash_texts(GUITAR))
    for threshold in (0, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"threshold=.* is not between 0 and 1"):
            content.hash_texts(GUITAR, "semantic", threshold=threshold)


def test_models_in_folders(tmp_path: Path) -> None:
    tokenizer = Tokenizer(
        WordLevel({"[UNK]": 0, "[PAD]": 1, "big": 2, "large": 3, "dog": 4, "cat": 5}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = Whitespace()
    vectors = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0.1, 1], [1, 0, 0], [0, 1, 0]], np.float32)
    StaticModel(vectors, tokenizer).save_pretrained(str(tmp_path / "model"))
    texts = ["big dog", "large dog", "large cat"]
    found = content.hash_texts(texts, "semantic", model=tmp_path / "model")
    assert found["version"].n_unique() == 2
    assert found["version"][0] == found["version"][1]
    assert found["version"][0].startswith("semantic-model2vec-")
    other = found.with_columns(pl.lit("semantic-other:1f").alias("version"))
    with pytest.raises(
        ContentError, match="known= has 3 versions of 'semantic-other', but this call gives 'semantic-mod"
    ):
        content.hash_texts(texts, "semantic", known=other, model=tmp_path / "model")
    with pytest.raises(ContentError, match=r"there is no model in .*nowhere"):
        content.hash_texts(texts, "semantic", model=tmp_path / "nowhere")
