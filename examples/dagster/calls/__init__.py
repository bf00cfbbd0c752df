"""Features of Metaxy as assets of Dagster."""
