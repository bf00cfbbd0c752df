"""System tables: what a store remembers about feature graphs and events."""
