"""How pictures look: fonts, and colours in the light and in the dark.

Colours of statuses differ in lightness as well as in hue (after Okabe and Ito), so that people who see few colours can
tell them apart; each status has a sign of its own shape too. Rules are written for both modes instead of with
variables, which tools that turn pictures into other formats do not know.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from metaxy.dag.render.config import ColorScheme, Theme
from metaxy.dag.stats import State
from metaxy.dag.view import NodeStatus

SANS: Final = '-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Liberation Sans",sans-serif'
MONO: Final = 'ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace'
PICTURE: Final = ".mx"  # every rule is for pictures only, whatever else is on a page


class Shade(NamedTuple):
    """A colour in the light and one in the dark."""

    light: str
    dark: str


STATUSES: Final[Mapping[NodeStatus, Shade]] = {
    NodeStatus.ADDED: Shade("#00785a", "#2fc99b"),
    NodeStatus.REMOVED: Shade("#b3400f", "#f08a5d"),
    NodeStatus.CHANGED: Shade("#9a6700", "#f2c14e"),
    NodeStatus.AFFECTED: Shade("#0b68b8", "#63b6f5"),
    NodeStatus.DESCRIBED: Shade("#8a4a86", "#d79ad2"),
    NodeStatus.MISSING: Shade("#6b7280", "#9aa4b2"),
}
STATES: Final[Mapping[State, Shade]] = {
    "up_to_date": STATUSES[NodeStatus.ADDED],
    "needs_update": STATUSES[NodeStatus.CHANGED],
    "missing": STATUSES[NodeStatus.MISSING],
    "error": STATUSES[NodeStatus.REMOVED],
    "root_feature": STATUSES[NodeStatus.MISSING],
}
CALM: Final[frozenset[State]] = frozenset({"up_to_date", "root_feature"})  # their boxes look as all do
TINT: Final = 0.07  # how much of the colour is in the box of a feature that is not
# selector → property → shade
COLORS: Final[Mapping[str, Mapping[str, Shade]]] = {
    ".paper": {"fill": Shade("#f7f8fa", "#10141b")},
    ".card": {"fill": Shade("#ffffff", "#1a202a"), "stroke": Shade("#d5dae2", "#323b49")},
    ".pile": {"fill": Shade("#ffffff", "#1a202a"), "stroke": Shade("#d5dae2", "#323b49")},
    ".rule": {"stroke": Shade("#e6e9ee", "#2a323f")},
    ".strong": {"fill": Shade("#161b24", "#eef1f6")},
    ".plain": {"fill": Shade("#323a48", "#c9d1dc")},
    ".soft": {"fill": Shade("#687182", "#8f9bad")},
    ".line": {"stroke": Shade("#9aa5b5", "#566376")},
    ".head": {"fill": Shade("#9aa5b5", "#566376")},
    ".tag": {"fill": Shade("#f7f8fa", "#10141b")},
    ".edge:hover .line": {"stroke": Shade("#3b4657", "#c9d1dc")},
    ".edge:hover .head": {"fill": Shade("#3b4657", "#c9d1dc")},
    ".lamp.up_to_date": {"stroke": STATES["up_to_date"]},
    ".lamp.needs_update": {"stroke": STATES["needs_update"], "fill": STATES["needs_update"]},
    ".lamp.missing": {"stroke": STATES["missing"]},
    ".lamp.root_feature": {"stroke": STATES["root_feature"], "fill": STATES["root_feature"]},
    ".lamp.error": {"stroke": STATES["error"]},
}
FIXED: Final = (
    ("", f"font-family:{SANS};font-size:12px"),
    (".title", "font-size:17px;font-weight:600"),
    (".name", "font-size:13px;font-weight:600"),
    (".mono", f"font-family:{MONO};font-size:11px"),
    (".small", "font-size:11px"),
    (".card", "stroke-width:1"),
    (".line", "fill:none;stroke-width:1.4"),
    (".optional .line", "stroke-dasharray:2 5;stroke-linecap:round"),
    (".edge:hover .line", "stroke-width:2.4"),
    (".missing .card", "stroke-dasharray:5 4"),
    (".node.unchanged", "opacity:.7"),
    (".lamp", "fill:none;stroke-width:1.5;stroke-linecap:round;stroke-linejoin:round"),
    (".sign path", "fill:none;stroke-width:1.7;stroke-linecap:round;stroke-linejoin:round"),
)


def state_class(state: State) -> str:
    """Return the name of the rules for what a store has of a feature; statuses of comparisons have names like these."""
    return f"state-{state}"


def style(theme: Theme, scheme: ColorScheme | None = None) -> Iterator[str]:
    """Yield the rules of a picture; colours that a theme sets win over those of ours.

    Without a scheme the picture is light or dark as its reader prefers.
    """
    yield from (f"{PICTURE} {selector}".strip() + f"{{{rules}}}" for selector, rules in FIXED)
    yield from _rules(theme, 1 if scheme == "dark" else 0)
    if scheme is None:
        yield "@media (prefers-color-scheme:dark){"
        yield from _rules(theme, 1)
        yield "}"


def _rules(theme: Theme, mode: int) -> Iterator[str]:
    for selector, shades in COLORS.items():
        yield f"{PICTURE} {selector}{{{';'.join(f'{name}:{shade[mode]}' for name, shade in shades.items())}}}"
    paper = COLORS[".card"]["fill"][mode]
    for status, shade in STATUSES.items():
        own = f"{status.value}_color" in theme.model_fields_set
        color, name = (theme.of_status(status) if own else shade[mode]), f"{PICTURE} .{status.value}"
        yield f"{name} .card,{name} .line{{stroke:{color}}}"
        yield f"{name}.dot{{fill:{color}}}"
        yield from _sign(name, color, paper)
    for state, shade in STATES.items():
        color, name = shade[mode], f"{PICTURE} .{state_class(state)}"
        if state not in CALM:
            yield f"{name} .what{{font-weight:600}}{name} .line{{stroke:{color}}}"
            yield f"{name} .card{{stroke:{color};fill:{_mixed(color, paper)}}}"
        yield from _sign(name, color, paper)


def _sign(name: str, color: str, paper: str) -> Iterator[str]:
    yield f"{name} .head,{name} .what,{name} .bar,{name}.sign .full{{fill:{color}}}"
    yield f"{name}.sign path{{stroke:{paper}}}{name}.sign .open{{stroke:{color};fill:{paper}}}"
    yield f"{name}.sign .ink{{stroke:{color}}}"


def _mixed(color: str, paper: str) -> str:
    """Return paper with a little of a colour in it."""
    pairs = zip(bytes.fromhex(color[1:]), bytes.fromhex(paper[1:]), strict=True)
    return "#" + bytes(round(TINT * ink + (1 - TINT) * ground) for ink, ground in pairs).hex()
