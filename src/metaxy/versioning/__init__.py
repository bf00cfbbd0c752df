"""Versioning of rows: the recipe as data, and its two renderings, SQL and Polars."""
