"""Docstrings as Markdown for the API pages, loaded by griffe: examples are code, experimental things say so."""

import re
from typing import Any

from griffe import Class, Extension, Function, Object

EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\n).*)*", re.MULTILINE)
EXPERIMENTAL = "*Experimental: it may still change in small releases.*\n\n"


def as_markdown(text: str, *, experimental: bool) -> str:
    """Fence the examples of a docstring, and say if what it describes is experimental."""
    fenced = EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", text)
    return f"{EXPERIMENTAL}{fenced}" if experimental else fenced


class Docstrings(Extension):
    """Changes docstrings once an object is complete."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring of an object."""
        if obj.docstring and isinstance(obj, (Class, Function)):
            marks = {str(decorator.value).rpartition(".")[2] for decorator in obj.decorators}
            obj.docstring.value = as_markdown(obj.docstring.value, experimental="experimental" in marks)
