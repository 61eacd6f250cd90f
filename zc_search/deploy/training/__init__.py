"""After the search: the best few trained on the user's images, against random ones."""

from zc_search.deploy.training.loop import Examples, train_network
from zc_search.deploy.training.outcome import Outcome
from zc_search.deploy.training.running import train_run

__all__ = ["Examples", "Outcome", "train_network", "train_run"]
