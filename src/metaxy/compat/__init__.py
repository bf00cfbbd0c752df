"""What only users of metaxy 0.1 need; `_moved` has the table of its modules, `_old_names` that of its attributes."""
