"""Ray: features as datasets, and datasets as features, in many processes and on many machines.

Each name is loaded when it is first used: an actor that calls a function needs neither Ray Data nor a store.
"""

from typing import TYPE_CHECKING, Any, Final

from metaxy import _lazy

if TYPE_CHECKING:
    from metaxy.ext.ray.datasink import MetaxyDatasink, MetaxyWriteResult
    from metaxy.ext.ray.datasource import MetaxyDatasource
    from metaxy.ext.ray.processing import process

__all__ = ["MetaxyDatasink", "MetaxyDatasource", "MetaxyWriteResult", "process"]
_HOMES: Final = {
    "MetaxyDatasink": "metaxy.ext.ray.datasink",
    "MetaxyDatasource": "metaxy.ext.ray.datasource",
    "MetaxyWriteResult": "metaxy.ext.ray.datasink",
    "process": "metaxy.ext.ray.processing",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load a public name when it is first used."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = _lazy.resolve(f"{_HOMES[name]}:{name}")
        return value
