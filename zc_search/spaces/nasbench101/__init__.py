"""NAS-Bench-101: a cell as a graph of up to seven vertices."""
