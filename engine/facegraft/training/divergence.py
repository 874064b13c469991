"""LossGuard: tells when a loss is no number or has exploded, and when it is doubtful.

Losses scatter from batch to batch by up to a factor of two around their median, whatever the model;
networks that collapse paint one flat colour, and their loss is five to twenty times what it was.
FACTOR lies between. A hard batch passes and a collapse stays, so only PATIENCE losses in a row
count. They are compared with the lowest median that the run has had so far: the median of the last
losses alone would follow a slow collapse upwards.
"""

import math
from collections import deque
from statistics import median

WINDOW = 256  # iterations; their median moves by a few percent only
WARM_UP = 32  # losses before anything is judged
FACTOR = 4.0  # above the usual loss; see above
PATIENCE = 16  # losses in a row: a second or two of a GPU


class LossGuard:
    """Watches one loss, best the plain reconstruction of one side: terms that are switched on in
    the middle of a run, such as GAN or style, raise the sum. `reset()` after any such change.
    """

    def __init__(self, window: int = WINDOW) -> None:
        self._recent: deque[float] = deque(maxlen=window)
        self._usual = math.inf  # the lowest median so far
        self._streak = 0  # losses in a row that are far too high

    def check(self, loss: float) -> str | None:
        """What is wrong with the loss of one more iteration, as "is nan"; None while nothing is."""
        if not math.isfinite(loss):
            self._streak = PATIENCE
            return f"is {loss:g}"
        if len(self._recent) >= WARM_UP and loss > FACTOR * self._usual:
            self._streak += 1
            if self._streak < PATIENCE:
                return None
            return (
                f"is {loss:.3g} and was {self._usual:.3g}: more than {FACTOR:g} times as "
                f"high for {self._streak} iterations"
            )
        self._streak = 0
        self._recent.append(loss)
        if len(self._recent) >= WARM_UP:
            self._usual = min(self._usual, median(self._recent))
        return None

    @property
    def doubtful(self) -> bool:
        """True while the last losses are far too high, though not for long yet: save later."""
        return self._streak > 0

    def reset(self) -> None:
        """Forget all losses, as after a roll-back or a change of options."""
        self._recent.clear()
        self._usual, self._streak = math.inf, 0
