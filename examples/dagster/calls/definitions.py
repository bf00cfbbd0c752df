"""All definitions in the folder defs: those of defs.yaml files, and those of Python modules that you add."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Load them."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
