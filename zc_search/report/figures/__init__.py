"""The figures: each a function from a result or a table of trials to a Plotly figure."""
