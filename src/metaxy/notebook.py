"""What notebooks show: small pieces of HTML in one look, without scripts and without anything loaded from elsewhere.

Text is escaped unless it is `Html` already. Colours are mixed with those of the page around, so that one style fits
light and dark notebooks, whatever says that they are dark.
"""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from reprlib import Repr
from typing import Any, Final, Literal, TypeAlias

from metaxy.printable import printable
from metaxy.wording import storable

State: TypeAlias = Literal["good", "due", "bad", "idle"]
"""How something is; what it is called says it, too, as colours alone tell nothing to some people."""

LONGEST: Final = 80  # characters of a value
# Each is readable on white and on black; a test holds them to it.
COLORS: Final[dict[State, str]] = {"good": "#0a8a66", "due": "#b86e00", "bad": "#d6453d", "idle": "#7d7d7d"}
LINE: Final = "1px solid rgba(127,127,127,.28)"
STYLE: Final = "".join(
    [
        ".metaxy{max-width:100%;overflow-x:auto;font-size:13px;line-height:1.5;color:inherit}",
        ".metaxy p{margin:2px 0 8px}.metaxy p b{font-size:1.1em}",
        # Mixed, not see-through: what is marked inside keeps its colour.
        ".metaxy small,.metaxy em{color:color-mix(in srgb,currentColor 70%,transparent)}",
        ".metaxy table{border-collapse:collapse;margin:2px 0 8px;border:0;width:auto;font-size:inherit;color:inherit}",
        # Named twice, these rules go before those that Jupyter has for all tables.
        f".metaxy.metaxy tr th,.metaxy.metaxy tr td{{border:0;border-bottom:{LINE};padding:3px 12px 3px 4px;",
        "text-align:left;vertical-align:top;font-variant-numeric:tabular-nums;color:inherit;",
        "white-space:normal;overflow-wrap:break-word;max-width:36em}",
        ".metaxy.metaxy tr th{font-weight:600;background:rgba(127,127,127,.1)}",
        ".metaxy.metaxy .numbers tr>:not(:first-child){text-align:right}",
        ".metaxy details{margin:2px 0}.metaxy summary{cursor:pointer}.metaxy ul{margin:2px 0 8px;padding-left:20px}",
        ".metaxy img{max-width:100%;height:auto}",
        # Where colours can be mixed, lighter on dark pages and darker on light ones.
        *(
            f".metaxy .{state}{{color:{color};color:color-mix(in srgb,{color} 75%,currentColor)}}"
            for state, color in COLORS.items()
        ),
    ]
)


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(text: object) -> Html:
    r"""Return text as HTML that shows it, and does nothing else.

    >>> print(escaped("<b> & \u202egnp"))
    &lt;b&gt; &amp; \u202egnp
    """
    return text if isinstance(text, Html) else Html(html.escape(printable(storable(str(text)))))


def joined(items: Iterable[object], between: str = "") -> Html:
    """Return pieces one after another.

    >>> joined(["a", Html("<b>b</b>")], "<br>")
    'a<br><b>b</b>'
    """
    return Html(between.join(map(escaped, items)))


def card(title: object, *body: Html, note: object = "") -> str:
    """Return all that a notebook shows of one thing: a title with a note behind it, and what stands below."""
    head = f"<p><b>{escaped(title)}</b> <small>{escaped(note)}</small></p>" if title or note else ""
    return f'<div class="metaxy"><style>{STYLE}</style>{head}{joined(body)}</div>'


def table(rows: Iterable[Sequence[object]], heads: Sequence[object] = (), *, numbers: bool = False) -> Html:
    """Return a table; ``numbers`` stand at the right, in all columns but the first.

    >>> table([("new", "1,000")], numbers=True)
    '<table class="numbers"><tr><td>new</td><td>1,000</td></tr></table>'
    """
    name = ' class="numbers"' if numbers else ""
    lines = [_line(heads, "th")] if heads else []
    return Html(f"<table{name}>{''.join([*lines, *(_line(row, 'td') for row in rows)])}</table>")


def _line(cells: Iterable[object], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escaped(cell)}</{tag}>' for cell in cells)}</tr>"


def facts(known: Mapping[str, object]) -> Html:
    """Return names with what is known of them, without those of which nothing is."""
    return table((name, value) for name, value in known.items() if value not in (None, ""))


def data_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Html:
    """Return rows of data as a table; long values are cut."""
    return table(([_value(value) for value in row] for row in rows), columns)


def folded(title: object, *body: Html) -> Html:
    """Return what is seen after a click on its title."""
    return Html(f"<details><summary>{escaped(title)}</summary>{joined(body)}</details>")


def bullets(items: Iterable[object]) -> Html:
    """Return a list, nothing if there are no items."""
    lines = "".join(f"<li>{escaped(item)}</li>" for item in items)
    return Html(f"<ul>{lines}</ul>" if lines else "")


def marked(text: object, state: State) -> Html:
    """Return text in the colour of a state.

    >>> marked("✓ done", "good")
    '<span class="good">✓ done</span>'
    """
    return Html(f'<span class="{state}">{escaped(text)}</span>')


def image(svg: str, description: str) -> Html:
    """Return a picture as a page of its own inside the page: its styles, names and scripts reach nothing outside."""
    data = base64.b64encode(svg.encode("utf-8")).decode("ascii")
    return Html(f'<img alt="{escaped(description)}" src="data:image/svg+xml;base64,{data}">')


class _Short(Repr):
    """Values as text of bounded length, made without writing all of a long one."""

    def __init__(self) -> None:
        super().__init__()
        self.maxother = self.maxlong = LONGEST
        self.maxstring = LONGEST // 2  # inside of lists and structs
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxarray = 6
        self.maxlevel = 4

    def repr_bytes(self, value: bytes, level: int) -> str:  # noqa: ARG002 - as reprlib calls it
        return repr(value[:10]) + (f"… ({len(value):,} bytes)" if len(value) > 10 else "")


_SHORT: Final = _Short()


def _value(value: Any) -> Html:
    if value is None:
        return Html("<em>null</em>")
    text = value if isinstance(value, str) else _SHORT.repr(value)
    return escaped(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")
