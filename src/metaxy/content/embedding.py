"""Models that make vectors of texts, without a network: the one of a package, or one in a folder."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from metaxy.errors import ContentError

if TYPE_CHECKING:
    import numpy as np

    Vectors = np.ndarray[Any, Any]

_WEIGHTS: Final = "l2_supercat_256.safetensors"
_NO_WORDLLAMA: Final = (
    "texts are compared with the model of the package wordllama (19 MB, which is not there for every Python): "
    'pip install "metaxy[texts]", or pass the folder of another model as model='
)
_LIBRARIES: Final = {"model2vec": "model2vec", "sentence_transformers": "sentence-transformers"}


@dataclass(frozen=True)
class Model:
    """A model: a name that changes with its weights, and what makes vectors of texts."""

    name: str
    embed: Callable[[Sequence[str]], "Vectors"]


def model_of(path: "str | os.PathLike[str] | None") -> Model:
    """Load a model from its folder; None is the one of the package wordllama. It stays in memory.

    Raises:
        ContentError: if there is no model.
        ImportError: if a package is missing.
    """
    return _packaged() if path is None else _in_folder(Path(path).absolute())


@lru_cache(maxsize=1)
def _packaged() -> Model:
    """Load the static embeddings that wordllama brings along: 256 dimensions, 32,000 pieces of words."""
    try:
        import wordllama
    except ImportError:
        raise ImportError(_NO_WORDLLAMA) from None
    folder = Path(wordllama.__file__).parent
    try:  # the folder of the package as its cache, or else it looks for its tokenizer in the network
        model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
    except FileNotFoundError:
        raise ImportError(_NO_WORDLLAMA) from None
    name = f"wordllama-{_digest([folder / 'weights' / _WEIGHTS])}"
    return Model(name, lambda texts: model.embed(list(texts), batch_size=256))


@lru_cache(maxsize=2)
def _in_folder(folder: Path) -> Model:
    weights = sorted(path for path in folder.rglob("*") if path.suffix in (".safetensors", ".bin", ".json"))
    if not any(path.suffix != ".json" for path in weights):
        raise ContentError(
            f"there is no model in {folder}; pass a folder that model2vec or sentence-transformers saved"
        )
    library, encode = _loaded(folder)
    return Model(f"{library}-{_digest(weights)}", encode)


def _loaded(folder: Path) -> tuple[str, Callable[[Sequence[str]], "Vectors"]]:
    is_static = _is_static(folder)
    try:
        if is_static:
            from model2vec import StaticModel

            return "model2vec", StaticModel.from_pretrained(folder).encode
        from sentence_transformers import SentenceTransformer

        return "transformer", SentenceTransformer(str(folder), local_files_only=True).encode
    except ImportError as error:
        raise ImportError(
            f"the model in {folder} needs the package {_LIBRARIES.get(error.name or '', error.name)}"
        ) from None


def _is_static(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(config.get("model_type", "model2vec") == "model2vec")  # those of transformers name another


def _digest(paths: Sequence[Path]) -> str:
    """Return eight digits of the hash of files; for large ones that is a second."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while data := file.read(1 << 20):
                digest.update(data)
    return digest.hexdigest()[:8]
