"""Write the tables of `docs/reference.md` and `docs/stores.md` anew, from code and tests: `make reference`.

A table stands between two comments, `<!-- NAME -->` and `<!-- end -->`; the text around them is written by hand.
"""

import inspect
import json
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from cyclopts import App
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python
from tests import column_types

import metaxy.ext
from metaxy.cli.app import app
from metaxy.config import MetaxyConfig, StoreConfig
from metaxy.store.config import MetadataStoreConfig
from metaxy.store.store import MetadataStore

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (DOCS / "reference.md", DOCS / "stores.md")
TABLE = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
NAMES = {str: "text", Path: "path", bool: "true or false", int: "number", float: "number"}


def type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(type_name(item) for item in arguments if item is not type(None)))
    if origin in (list, tuple):
        return f"list of {type_name(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f'`"{member.value}"`' for member in annotation)
    return NAMES.get(annotation, "table")


def default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "*required*"
    return "" if value is None else f"`{json.dumps(to_jsonable_python(value))}`"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = [list(header), ["---"] * len(list(header)), *map(list, rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells) + "\n"


def keys(model: type[BaseModel], without: Iterable[str] = ()) -> str:
    rows = [
        (f"`{name}`", type_name(field.annotation), default(field), field.description or "")
        for name, field in model.model_fields.items()
        if name not in set(without)
    ]
    return table(("key", "type", "default", "meaning"), rows)


def store_classes() -> list[type[MetadataStore]]:
    """Return the stores of `metaxy.ext` that have a module of their own."""
    modules = [import_module(f"metaxy.ext.{module.name}") for module in pkgutil.iter_modules(metaxy.ext.__path__)]
    return sorted(
        {
            value
            for module in modules
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, MetadataStore) and value is not MetadataStore
        },
        key=lambda store: store.__name__,
    )


def public_path(store: type[MetadataStore]) -> str:
    return f"{'.'.join(store.__module__.split('.')[:3])}.{store.__name__}"


def stores() -> str:
    own = [
        f"\n### `{public_path(store)}`\n\n{keys(store.config_model(), MetadataStoreConfig.model_fields)}"
        for store in store_classes()
    ]
    return "".join(own) + "\n"


def verbs() -> Iterator[tuple[str, str]]:
    for name, member in inspect.getmembers(MetadataStore):
        if not name.startswith("_") and (inspect.isfunction(member) or inspect.ismethod(member)):
            yield f"`{name}`", (inspect.getdoc(member) or "").split("\n\n")[0].replace("\n", " ")


def option_rows(of: App) -> Iterator[tuple[str, str, str]]:
    for argument in of.assemble_argument_collection(parse_docstring=True):
        if argument.show and argument.name != "TOKENS":
            default = argument.field_info.default
            shown = "*required*" if argument.required else "" if default in (None, False) else f"`{default}`"
            by_position = argument.field_info.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            place = [argument.name.lstrip("-").upper()] if by_position else []
            names = ", ".join(f"`{name}`" for name in (*place, *argument.names))
            yield names, shown, argument.parameter.help or ""


def command_sections(of: App, path: str = "mx") -> Iterator[str]:
    """Yield a section for each command, with what its options mean."""
    known: set[int] = set()
    for name in of:
        each = of[name]
        if name.startswith("-") or id(each) in known:  # aliases are the same object
            continue
        known.add(id(each))
        if each.default_command is None:
            yield from command_sections(each, f"{path} {name}")
        else:
            summary = (inspect.getdoc(each.default_command) or "").partition("Args:")[0].strip()
            options = list(option_rows(each))
            listed = "\n" + table(("option", "default", "meaning"), options) if options else ""
            yield f"\n### `{path} {name}`\n\n{' '.join(summary.split())}\n{listed}"


TABLES: Final[dict[str, Callable[[], str]]] = {
    "settings": lambda: keys(MetaxyConfig),
    "store": lambda: keys(StoreConfig),
    "every_store": lambda: keys(MetadataStoreConfig),
    "stores": stores,
    "global_options": lambda: table(("option", "default", "meaning"), option_rows(app.meta)),
    "commands": lambda: "".join(command_sections(app)) + "\n",
    "verbs": lambda: table(("verb", "what it does"), verbs()),
    "column_types": lambda: table(("type in Polars", "as ID", *column_types.NAMES.values()), column_types.by_store()),
    "given_types": lambda: table(("type in Arrow or Pandas", "taken as"), column_types.by_library()),
}


def rendered(text: str) -> str:
    """Return the page with its tables made anew."""
    return TABLE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(rendered(page.read_text(encoding="utf-8")), encoding="utf-8")
