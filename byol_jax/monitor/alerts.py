"""Alerts: warnings about training metrics, each given at most once in a run."""


class Collapse:
    """An alert for collapsed projections: their spread is low and does not rise.

    The alert needs two successive log lines, because the spread may also be low before training;
    it rises then.
    """

    THRESHOLD = 0.1

    def __init__(self):
        self._last_spread = 1.0
        self._was_given = False

    def __call__(self, step: int, values: dict[str, float]) -> str | None:
        """Returns an alert if the spread in a log line shows a collapse, else None.

        Args:
            step: Step of the log line.
            values: Metrics of the log line by name; `spread` is required.

        Returns:
            The text, or None if the alert is not due or was given before.
        """
        spread = values["spread"]
        last_spread = self._last_spread
        self._last_spread = spread
        if self._was_given or not spread <= last_spread < self.THRESHOLD:
            return None
        self._was_given = True
        return (
            f"the projection spread is {spread:.2f} at step {step}, out of 1.0: the "
            "representation is collapsing. See docs/guides/curves.md."
        )


class Starving:
    """An alert for slow input: the devices spend much of their time waiting for data.

    The alert needs two successive log lines, because the first line includes the start-up time.
    """

    THRESHOLD = 0.1

    def __init__(self):
        self._last_wait = 0.0
        self._was_given = False

    def __call__(self, step: int, values: dict[str, float]) -> str | None:
        """Returns an alert if the devices have waited too long for data, else None.

        Args:
            step: Step of the log line.
            values: Metrics of the log line by name; `data_wait`, a share of the time in [0, 1], is
                required.

        Returns:
            The text, or None if the alert is not due or was given before.
        """
        wait = values["data_wait"]
        last_wait = self._last_wait
        self._last_wait = wait
        if self._was_given or min(wait, last_wait) <= self.THRESHOLD:
            return None
        self._was_given = True
        return (
            f"at step {step}, the devices spend {wait:.0%} of the time waiting for images. Set "
            "data.mode='resident' if the decoded data set fits in device memory, raise "
            "data.workers if CPU cores are idle, or prepare smaller images (--max_side)."
        )
