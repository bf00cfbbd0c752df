"""How rows are versioned: the recipe as data, and its two renderings, SQL and Polars."""
