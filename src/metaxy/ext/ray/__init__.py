"""Ray: features as datasets, and datasets as features, in many processes and on many machines.

Each name is loaded when it is first used: an actor that calls a function needs neither Ray Data nor a store.
"""

from typing import TYPE_CHECKING, Final

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

if not TYPE_CHECKING:  # type checkers would take any name for a public one
    __getattr__, __dir__ = _lazy.attributes(__name__, _HOMES)
