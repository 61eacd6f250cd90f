"""What can go wrong with a scores file."""


class ScoresWarning(UserWarning):
    """A part of a scores file is damaged."""
