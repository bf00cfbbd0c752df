"""Which layer each box of a picture stands in: below all it depends on, and so that lines are short.

Boxes are numbers here, and arcs pairs of them.
"""

from typing import Final

TIGHTENINGS: Final = 4
LARGEST_GROUP: Final = 40  # of items that move together to another layer


def turned_arcs(count: int, ends: list[tuple[int, int]]) -> list[bool]:
    """Say for each arc whether it must be turned around so that there is no cycle: those that lead back on a walk."""
    leaving: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for index, (source, target) in enumerate(ends):
        leaving[source].append((target, index))
    turned = [False] * len(ends)
    state = [0] * count  # 1 on the way that is walked, 2 done
    for start in range(count):
        path = [] if state[start] else [(start, iter(leaving[start]))]
        state[start] = state[start] or 1
        while path:
            item, waiting = path[-1]
            target, index = next(waiting, (-1, -1))
            if target < 0:
                state[item] = 2
                path.pop()
            elif state[target] == 0:
                state[target] = 1
                path.append((target, iter(leaving[target])))
            else:
                turned[index] = state[target] == 1
    return turned


def layers(count: int, downward: list[tuple[int, int]]) -> list[int]:
    """Give each item the first layer below all it depends on, then make lines short by moving items down and up."""
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for upper, lower in downward:
        above[lower].append(upper)
        below[upper].append(lower)
    waiting = [len(each) for each in above]
    order = [item for item in range(count) if not waiting[item]]
    layer = [0] * count
    for item in order:  # grows while it is walked
        for lower in below[item]:
            layer[lower] = max(layer[lower], layer[item] + 1)
            waiting[lower] -= 1
            if not waiting[lower]:
                order.append(lower)
    for _ in range(TIGHTENINGS):
        moved = [_tighten(item, layer, above, below, 1) for item in reversed(order)]
        moved += [_tighten(item, layer, below, above, -1) for item in order]
        if not any(moved):
            break
    first = min(layer)
    return [each - first for each in layer]


def _tighten(item: int, layer: list[int], behind: list[list[int]], ahead: list[list[int]], way: int) -> bool:
    """Move an item ahead, with what it would bump into, if that makes lines shorter altogether; say whether it did."""
    group = {item}
    waiting = [item]
    spare = []  # of the lines that become shorter
    while waiting:
        member = waiting.pop()
        for other in ahead[member]:
            if (free := (layer[other] - layer[member]) * way - 1) > 0:
                spare.append((other, free))
            elif other not in group:
                group.add(other)
                waiting.append(other)
        if len(group) > LARGEST_GROUP:
            return False
    shorter = [free for other, free in spare if other not in group]
    longer = sum([other not in group for member in group for other in behind[member]])
    if len(shorter) <= longer:
        return False
    for member in group:
        layer[member] += way * min(shorter)
    return True
