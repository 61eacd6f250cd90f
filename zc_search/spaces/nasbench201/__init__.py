"""NAS-Bench-201: a cell of six edges with five operations each."""
