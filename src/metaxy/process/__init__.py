"""A whole graph in one call: features in topological order, each by its function."""

from metaxy.process.registry import Computed, computed, computes
from metaxy.process.running import Plan, RunReport, plan, run

__all__ = ["Computed", "Plan", "RunReport", "computed", "computes", "plan", "run"]
