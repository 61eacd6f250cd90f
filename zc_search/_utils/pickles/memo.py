"""What a pickle may refer back to, without holding on to all that it has said."""

from collections.abc import Sequence
from typing import Any


class ForgottenError(Exception):
    """An entry refers to a container of an earlier one; read it again with ``forget=False``."""


class Memo:
    """The numbered values of a pickle.

    Of an entry that is over, texts and the like are kept, as later ones share them; containers go,
    and so do the keys of runs: there are a hundred million, each of its own.

    Args:
        forget: Whether anything goes at all.

    Attributes:
        size: The smallest number that has not been given yet.
    """

    def __init__(self, forget: bool) -> None:
        self.size = 0
        self._forget = forget
        self._current: dict[int, Any] = {}
        self._kept: dict[int, Any] = {}
        self._keys: dict[int, str] = {}

    def put(self, number: int, value: Any) -> None:
        """Number a value."""
        self._current[number] = value
        self.size = max(self.size, number + 1)

    def put_keys(self, keys: Sequence[str], numbers: Sequence[int] | None) -> None:
        """Number the keys of a run; None counts them on."""
        if numbers is None:
            numbers = range(self.size, self.size + len(keys))
        self._keys.update(zip(numbers, keys, strict=True))
        self.size = max(self.size, numbers[-1] + 1)

    def get(self, number: int) -> Any:
        """Return a value.

        Raises:
            ForgottenError: It has been let go.
            KeyError: There never was one.
        """
        for values in (self._current, self._keys, self._kept):
            if number in values:
                return values[number]
        if self._forget and number < self.size:
            raise ForgottenError(f"value {number} is of an entry that is gone")
        raise KeyError(f"there is no value {number}")

    def let_go(self) -> None:
        """Forget what only the entry that is over can refer to."""
        if self._forget:
            for number, value in self._current.items():
                if type(value) not in (dict, list, set):
                    self._kept[number] = value
            self._current = {}
            self._keys = {}
