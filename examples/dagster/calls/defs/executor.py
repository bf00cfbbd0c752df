"""Steps run one after the other in one process, as one process at a time writes to a DuckDB file."""

import dagster as dg

defs = dg.Definitions(executor=dg.in_process_executor)
