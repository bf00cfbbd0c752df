"""Tools to test code that uses Metaxy; `docs/testing.md` shows them at work.

Fixtures for pytest are in `metaxy.testing.fixtures`, strategies for Hypothesis in `metaxy.testing.strategies`, and the
tests that a store must pass in `metaxy.testing.conformance`; each needs its package (`pip install 'metaxy[testing]'`),
this module needs none.
"""

from metaxy.testing.environment import env_override
from metaxy.testing.project import CliResult, TempMetaxyProject

__all__ = ["CliResult", "TempMetaxyProject", "env_override"]
