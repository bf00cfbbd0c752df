"""How features relate: the graph, its order, its versions, and the plan of one feature."""
