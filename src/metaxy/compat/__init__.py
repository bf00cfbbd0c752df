"""Names and functions for users of metaxy 0.1 only; `_moved` has the table of modules, `_old_names` of attributes."""
