"""A user's own images: a search file for them, the best few trained on them, and taken along."""
