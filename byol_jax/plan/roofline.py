"""The roofline model: a lower bound on the step time, and the resource that determines it."""

from typing import NamedTuple

from byol_jax.plan.chips import Chip
from byol_jax.plan.costs import Costs


class Roofline(NamedTuple):
    """Lower bounds on the time of a step in seconds, one for each resource of a chip.

    Attributes:
        compute: Time for the arithmetic.
        memory: Time for the memory traffic.
        interconnect: Time for the traffic between devices.
    """

    compute: float
    memory: float
    interconnect: float

    @property
    def seconds(self) -> float:
        """The minimum step time in seconds, if all resources work fully in parallel."""
        return max(self)

    @property
    def bound(self) -> str:
        """The name of the bottleneck: the resource with the longest minimum time."""
        return self._fields[self.index(max(self))]


def compute_seconds(costs: Costs, chip: Chip) -> float:
    """Computes a lower bound on the time of the arithmetic of a step.

    Args:
        costs: Costs of the step on one device.
        chip: The limits of the chip.

    Returns:
        The minimum time in seconds.
    """
    rates = {"bfloat16": chip.flops, "float32": chip.float32, "highest": chip.highest}
    return sum(count / rates[kind] for kind, count in costs.flops.items())


def roofline(costs: Costs, chip: Chip) -> Roofline:
    """Computes lower bounds on the time of a step, one for each resource of a chip.

    Args:
        costs: Costs of the step on one device.
        chip: The limits of the chip.

    Returns:
        The minimum times in seconds.
    """
    return Roofline(
        compute_seconds(costs, chip),
        costs.read_and_written / chip.bandwidth,
        sum(costs.sent.values()) / chip.interconnect,
    )
