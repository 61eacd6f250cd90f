"""The settings of a search that is over in a second or two."""

SMALL = """
[study]
name = "small"
n_trials = 12
sampler = "random"
[space]
channels = 2
cells = 1
[data]
source = "noise"
batch_size = 4
[objectives]
naswot_relu = "maximize"
params = "minimize"
"""
