"""For users of metaxy 0.1 only; `_moved` has the table of its modules, `_old_names` that of its attributes."""
