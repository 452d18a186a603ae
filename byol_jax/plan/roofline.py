"""The time of a step that no program on a chip can beat, and which of its limits sets it."""

from typing import NamedTuple

from byol_jax.plan.chips import Chip
from byol_jax.plan.costs import Costs


class Roofline(NamedTuple):
    """Seconds of a step by each limit alone; the largest is the step's."""

    compute: float
    memory: float
    interconnect: float

    @property
    def seconds(self) -> float:
        """The step's: all three at once, none waiting for another."""
        return max(self)

    @property
    def bound(self) -> str:
        """The name of the limit that sets the time."""
        return self._fields[self.index(max(self))]


def roofline(costs: Costs, chip: Chip) -> Roofline:
    """The limits of a device's costs on its chip."""
    return Roofline(
        costs.flops / chip.flops,
        costs.read_and_written / chip.bandwidth,
        sum(costs.sent.values()) / chip.interconnect,
    )
