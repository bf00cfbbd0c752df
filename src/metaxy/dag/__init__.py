"""The graph of features: its order, its versions, and the plan of one feature."""
