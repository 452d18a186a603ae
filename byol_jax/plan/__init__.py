"""Cost estimates of a run on TPUs or GPUs: memory, memory traffic, and a lower bound on its time.

Planning needs no accelerator. `devices` describes the chips, for which the caller lowers the step;
`compile_step` compiles the lowered step, and `lines` formats the result. `compile_program` and
`evaluation_lines` do the same for the memory of the evaluation. The command
`python -m byol_jax plan` does all of this.
"""

from byol_jax.plan.chips import CHIPS, Chip, devices
from byol_jax.plan.compiled import Plan, Program, compile_program, compile_step, largest
from byol_jax.plan.costs import flops
from byol_jax.plan.report import evaluation_lines, lines
from byol_jax.plan.roofline import Roofline, roofline

__all__ = [
    "CHIPS",
    "Chip",
    "Plan",
    "Program",
    "Roofline",
    "compile_program",
    "compile_step",
    "devices",
    "evaluation_lines",
    "flops",
    "largest",
    "lines",
    "roofline",
]
