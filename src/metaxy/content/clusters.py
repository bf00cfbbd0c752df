"""One version for inputs that are nearly the same, whichever came first.

Each input has an exact version and a *fingerprint*, a short vector that is similar for similar inputs. The first of its
kind founds a cluster, whose version is made of its exact version. Later ones join the founder that is most similar, if
it is similar enough; members do not count, so that clusters cannot drift. Who joined where is a table. Given back as
``known``, it decides for all inputs that are in it, whatever else comes.

Vectors are whole numbers, and so are the sums of their products, which makes similarities the same on every machine.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import narwhals as nw
import polars as pl

from metaxy.content.frames import ERROR, VERSION
from metaxy.errors import ContentError
from metaxy.wording import first_line

if TYPE_CHECKING:
    import numpy as np

    Vectors = np.ndarray[Any, Any]

EXACT: Final = "exact"
FINGERPRINT: Final = "fingerprint"
SIMILARITY: Final = "similarity"
BLOCK: Final = 512  # inputs that are compared at once
CHUNK: Final = 16_384  # founders that they are compared with at once: 32 MB
_FOUNDERS: Final = {EXACT: pl.String, VERSION: pl.String, FINGERPRINT: pl.String}
_MEMBER: Final = (EXACT, VERSION, SIMILARITY)
_FINGERPRINT: Final = r"/([bv])(\d+)/([A-Za-z0-9_-]+=*)$"
_EXACT_SUMS: Final = 2**24  # whole numbers up to here are exact in 32-bit floats


@dataclass(frozen=True)
class Member:
    """The cluster that an input is in, and how similar it is to its founder: 1 is equal."""

    version: str
    similarity: float | None


# -- fingerprints as text ----------------------------------------------------------------------------------------------


def fingerprint_of_bits(group: str, bits: "Vectors") -> str:
    """Return a fingerprint of bits; only those of one group are compared."""
    import numpy as np

    return f"{group}/b{len(bits)}/{_text(np.packbits(bits))}"


def fingerprint_of_vector(group: str, vector: "Vectors") -> str:
    """Return a fingerprint of the direction of a vector, whose numbers are kept to one part in 127 of the largest."""
    import numpy as np

    vector = np.asarray(vector, dtype=np.float64)
    largest = float(np.abs(vector).max(initial=0))
    if not np.isfinite(largest):
        raise ContentError("the model gave a vector with numbers that are not finite")
    whole = np.rint(vector * (127 / largest if largest else 0)).astype(np.int8)
    return f"{group}/v{len(whole)}/{_text(whole)}"


def _text(values: "Vectors") -> str:
    return base64.urlsafe_b64encode(values.tobytes()).decode()


def kind_of(fingerprint: str) -> str:
    """Return what fingerprints have in common that can be compared.

    >>> kind_of("frames-1/b8/qg==")
    'frames-1/b8'
    """
    return fingerprint.rpartition("/")[0]


def _form(kind: str) -> tuple[str, int]:
    """Return what fingerprints of a kind hold, ``b`` for bits and ``v`` for numbers, and how many.

    >>> _form("frames-1/b8")
    ('b', 8)
    """
    form = kind.rpartition("/")[2]
    return form[0], int(form[1:])


def vectors_of(fingerprints: Sequence[str]) -> "Vectors":
    """Return the vectors of fingerprints of one kind as rows; bits are minus one and one."""
    import numpy as np

    letter, size = _form(kind_of(fingerprints[0]))
    data = b"".join(base64.urlsafe_b64decode(each.rpartition("/")[2]) for each in fingerprints)
    if letter == "v":
        return np.frombuffer(data, np.int8).reshape(-1, size)
    packed = np.frombuffer(data, np.uint8).reshape(len(fingerprints), -1)
    return np.unpackbits(packed, axis=1, count=size).astype(np.int8) * 2 - 1


# -- what is known -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """The clusters that earlier inputs are in."""

    members: Mapping[str, Member] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    founders: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_FOUNDERS))

    @classmethod
    def of(cls, recipe: str, frame: Any) -> "Known":
        """Take what an earlier call returned, from a frame of any kind; None is nothing.

        Raises:
            ContentError: if its versions are of another recipe.
            ValueError: if columns are missing.
        """
        if frame is None:
            return cls()
        rows = _rows(frame).unique().sort(EXACT, VERSION)
        strange = rows.filter(~pl.col(VERSION).str.starts_with(f"{recipe}:"))[VERSION]
        if len(strange):
            other = strange[0].rpartition(":")[0]
            raise ContentError(
                f"known= has {len(strange)} versions of {other!r}, but this call gives {recipe!r}, such as of another "
                "model; pass rows of the same method and model, or leave known= out to give all inputs new versions"
            )
        first = rows.unique(EXACT, keep="first", maintain_order=True)
        return cls(
            {exact: Member(version, similarity) for exact, version, similarity in first.select(_MEMBER).iter_rows()},
            dict(first.select(EXACT, FINGERPRINT).iter_rows()),
            _founders(rows),
        )

    def founders_by_kind(self) -> dict[str, dict[str, str]]:
        """Return versions and fingerprints of founders for each kind of fingerprint."""
        kinds: dict[str, dict[str, str]] = {}
        for _, version, fingerprint in self.founders.iter_rows():
            kinds.setdefault(kind_of(fingerprint), {})[version] = fingerprint
        return kinds


def _rows(frame: Any) -> pl.DataFrame:
    """Return the rows of a frame that say who is in which cluster."""
    given = nw.from_native(frame, pass_through=False)
    missing = [name for name in (*_FOUNDERS, SIMILARITY) if name not in given.collect_schema().names()]
    if missing:
        raise ValueError(f"known= has no column {missing[0]!r}; pass frames that this function returned earlier")
    rows: pl.DataFrame = given.lazy().select(*_FOUNDERS, SIMILARITY).collect("polars").to_native()
    try:
        rows = rows.cast({name: pl.Float64 if name == SIMILARITY else pl.String for name in rows.columns}).filter(
            pl.col(VERSION).is_not_null()
        )
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"known= has other types than this function returned: {first_line(error)}") from None
    strange = rows.filter(pl.col(EXACT).is_null() | ~_is_fingerprint(pl.col(FINGERPRINT)).fill_null(value=False))
    if len(strange):
        raise ValueError(
            f"known= has {len(strange)} rows with a version, but no exact version or fingerprint, such as "
            f"{strange[VERSION][0]!r}; pass frames that this function returned earlier"
        )
    return rows


def _is_fingerprint(text: pl.Expr) -> pl.Expr:
    """Return whether texts are fingerprints, with as many bits or numbers as they say."""
    parts = text.str.extract_groups(_FINGERPRINT).struct
    size, length = parts.field("2").cast(pl.Int64), parts.field("3").str.len_bytes().cast(pl.Int64)
    count = pl.when(parts.field("1") == "v").then(size).otherwise((size + 7) // 8)
    return (count + 2) // 3 * 4 == length


def _founders(rows: pl.DataFrame) -> pl.DataFrame:
    """Return who stands for each cluster: its founder; where that is gone, the member most like it."""
    is_founder = _digest(VERSION) == _digest(EXACT)
    order = rows.sort(~is_founder, -pl.col(SIMILARITY).fill_null(-1), EXACT)
    return order.unique(VERSION, keep="first", maintain_order=True).select(*_FOUNDERS).sort(EXACT)


def _digest(column: str) -> pl.Expr:
    return pl.col(column).str.split(":").list.last()


# -- joining -----------------------------------------------------------------------------------------------------------


def clusters(recipe: str, fingerprints: Mapping[str, str], threshold: float, known: Known) -> dict[str, Member]:
    """Return the cluster of each input.

    Args:
        recipe: What versions begin with.
        fingerprints: Exact versions, and the fingerprint of each; their order makes no difference.
        threshold: How similar an input is to the founder of its cluster, at least.
        known: What was decided earlier.
    """
    found = {exact: known.members[exact] for exact in fingerprints if exact in known.members}
    kinds: dict[str, list[str]] = {}
    for exact in sorted(fingerprints.keys() - found.keys()):
        kinds.setdefault(kind_of(fingerprints[exact]), []).append(exact)
    earlier = known.founders_by_kind() if kinds else {}
    for kind, exacts in kinds.items():
        founders = _Founders(kind, earlier.get(kind, {}), room=len(exacts))
        for start in range(0, len(exacts), BLOCK):
            block = exacts[start : start + BLOCK]
            vectors = vectors_of([fingerprints[exact] for exact in block])
            members = founders.join(vectors, [version_of(recipe, exact) for exact in block], threshold)
            found |= dict(zip(block, members, strict=True))
    return found


def version_of(recipe: str, exact: str) -> str:
    """Return the version of the cluster that an input founds.

    >>> version_of("perceptual", "pixels:1f")
    'perceptual:1f'
    """
    return f"{recipe}:{exact.rpartition(':')[2]}"


def check_threshold(threshold: float) -> None:
    """Refuse what is no threshold for similarities.

    Raises:
        ValueError: if it is none.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold!r} is not between 0 and 1, where 1 is equal")


def clustered(frame: pl.DataFrame, recipe: str, threshold: float, known: Known) -> pl.DataFrame:
    """Fill in the versions of a frame.

    Frames: …, exact, fingerprint, error → …, exact, fingerprint, similarity, version, error
    """
    prints = dict(frame.filter(pl.col(ERROR).is_null()).select(EXACT, FINGERPRINT).unique().iter_rows())
    found = clusters(recipe, prints, threshold, known)
    members = pl.DataFrame(
        [(exact, member.similarity, member.version) for exact, member in found.items()],
        schema={EXACT: pl.String, SIMILARITY: pl.Float64, VERSION: pl.String},
        orient="row",
    )
    joined = frame.join(members, on=EXACT, how="left", maintain_order="left")
    return joined.select(*(name for name in frame.columns if name != ERROR), SIMILARITY, VERSION, ERROR)


class _Founders:
    """The founders of clusters of one kind of fingerprints: versions, vectors, and one over the length of each."""

    def __init__(self, kind: str, known: Mapping[str, str], room: int) -> None:
        import numpy as np

        letter, size = _form(kind)
        largest = 1 if letter == "b" else 127
        self._type = np.float32 if size * largest**2 < _EXACT_SUMS else np.float64
        self._versions: list[str] = []
        self._rows = np.zeros((len(known) + room, size), self._type)
        self._scales = np.zeros(len(known) + room)
        if known:
            self._add(list(known), vectors_of(list(known.values())))

    def join(self, vectors: "Vectors", versions: Sequence[str], threshold: float) -> list[Member]:
        """Let each vector join the founder that it is most similar to, or else become one with its version."""
        block: Any = vectors.astype(self._type)
        scales = _scales(block)
        place, similarity = self._nearest(block, scales)
        among = block @ block.T * scales[:, None] * scales
        new: list[int] = []
        for row in range(len(block)):
            if similarity[row] < threshold:
                place[row], similarity[row] = len(self._versions) + len(new), 1
                new.append(row)
                closer = row + 1 + (among[row, row + 1 :] > similarity[row + 1 :]).nonzero()[0]
                place[closer], similarity[closer] = place[row], among[row, closer]
        self._add([versions[row] for row in new], block[new])
        return [Member(self._versions[p], round(float(s), 6)) for p, s in zip(place, similarity, strict=True)]

    def _nearest(self, block: "Vectors", scales: "Vectors") -> "tuple[Vectors, Vectors]":
        """Return the place of the founder that each of a block is most similar to, and how similar it is."""
        import numpy as np

        best, similarity = np.zeros(len(block), np.int64), np.full(len(block), -np.inf)
        for start in range(0, len(self._versions), CHUNK):
            end = min(start + CHUNK, len(self._versions))
            products = block @ self._rows[start:end].T
            products *= self._scales[start:end].astype(self._type)
            place = products.argmax(axis=1)
            exact = (block * self._rows[start + place]).sum(axis=1) * scales * self._scales[start + place]
            closer = exact > similarity
            best, similarity = np.where(closer, start + place, best), np.where(closer, exact, similarity)
        return best, similarity

    def _add(self, versions: Sequence[str], rows: "Vectors") -> None:
        start, end = len(self._versions), len(self._versions) + len(versions)
        self._rows[start:end], self._scales[start:end] = rows, _scales(rows)
        self._versions += versions


def _scales(rows: "Vectors") -> "Vectors":
    """Return one over the length of each vector, 0 for one that has no direction."""
    import numpy as np

    lengths = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1))
    scales: Vectors = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return scales
