"""Cost estimates of a train step on a TPU: memory, memory traffic, and a lower bound on its time.

Planning needs no accelerator. `devices` describes the chips, for which the caller lowers the step;
`compile_step` compiles the lowered step, and `lines` formats the result. The command
`python -m byol_jax plan` does all of this.
"""

from byol_jax.plan.chips import CHIPS, Chip, devices
from byol_jax.plan.compiled import Plan, compile_step, largest
from byol_jax.plan.costs import flops
from byol_jax.plan.report import lines
from byol_jax.plan.roofline import Roofline, roofline

__all__ = [
    "CHIPS",
    "Chip",
    "Plan",
    "Roofline",
    "compile_step",
    "devices",
    "flops",
    "largest",
    "lines",
    "roofline",
]
