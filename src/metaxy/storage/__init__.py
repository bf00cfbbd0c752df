"""Where tables live: the port that adapters implement, and the codec at the table boundary."""
