"""How `prepare` makes a data set of files; what trains does not need any of it."""
