"""Tables behind a port that adapters implement, and the codec at the table boundary."""
