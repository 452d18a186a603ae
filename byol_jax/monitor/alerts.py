"""Warnings during a run: each is told once, when its reason has lasted from one line to the next."""


class Collapse:
    """warning(step, values) -> what to tell when the projections have collapsed.

    That is a spread below FLOOR and not rising: before training it may be small too.
    """

    FLOOR = 0.1

    def __init__(self):
        self._last, self._told = 1.0, False

    def __call__(self, step: int, values: dict[str, float]) -> str | None:
        spread = values["spread"]
        last, self._last = self._last, spread
        if self._told or not spread <= last < self.FLOOR:
            return None
        self._told = True
        return (
            f"projection spread {spread:.2f} of 1.0 at step {step}: the representation is "
            'collapsing; see "Reading the curves" in the README.'
        )


class Starving:
    """warning(step, values) -> what to tell when the devices wait for their input."""

    CEILING = 0.1

    def __init__(self):
        self._last, self._told = 0.0, False

    def __call__(self, step: int, values: dict[str, float]) -> str | None:
        waited = values["data_wait"]
        last, self._last = self._last, waited
        if self._told or min(waited, last) <= self.CEILING:
            return None
        self._told = True
        return (
            f"at step {step} the devices spend {waited:.0%} of the time waiting for images. Try "
            "data.mode='resident' if the decoded data fit on a device, more data.workers if cores "
            "are free, or prepare the pictures smaller (--max_side)."
        )
