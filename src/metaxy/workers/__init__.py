"""Calling a function of the user over batches of rows, by several workers at once; knows no store."""
