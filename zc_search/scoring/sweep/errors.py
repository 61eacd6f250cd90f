"""What can go wrong with a scores file."""

from zc_search.errors import ZcSearchError


class ScoresError(ZcSearchError):
    """A scores file that cannot be read, written or gone on with, or workers that cannot be had."""


class ScoresWarning(UserWarning):
    """A part of a scores file is damaged."""
