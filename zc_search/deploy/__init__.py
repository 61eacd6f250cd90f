"""After the search: the best few trained on the user's images, and taken along."""
