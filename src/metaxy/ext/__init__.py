"""Adapters to databases, table formats, dataframes and orchestrators; each is optional."""
