"""TransNAS-Bench-101, micro: a cell of six edges with four operations each."""
