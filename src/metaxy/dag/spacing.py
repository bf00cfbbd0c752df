"""Places in a row, as near to those that are wanted as order and gaps allow."""

from collections.abc import Sequence


def nearest(wanted: Sequence[float], weights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """Return the places nearest to those that are wanted, by squares, in the same order and with at least these gaps.

    >>> nearest([0, 0, 9], [1, 1, 1], [4, 4])
    [-2.0, 2.0, 9.0]
    """
    offsets = [0.0]
    for gap in gaps:
        offsets.append(offsets[-1] + gap)
    blocks: list[tuple[float, float, int]] = []  # place, weight, how many: neighbours that touch move as one
    for place, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, count = place - offset, weight, 1
        while blocks and blocks[-1][0] > mean:
            other, more, many = blocks.pop()
            mean = (mean * total + other * more) / (total + more)
            total, count = total + more, count + many
        blocks.append((mean, total, count))
    means = [mean for mean, _, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
