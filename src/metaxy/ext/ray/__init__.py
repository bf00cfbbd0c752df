"""Ray: features as datasets, and datasets as features, in many processes and on many machines."""

from metaxy.ext.ray.datasink import MetaxyDatasink, MetaxyWriteResult
from metaxy.ext.ray.datasource import MetaxyDatasource
from metaxy.ext.ray.process import process

__all__ = ["MetaxyDatasink", "MetaxyDatasource", "MetaxyWriteResult", "process"]
