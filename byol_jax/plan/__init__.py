"""What a compiled step costs on a chip: its memory, its traffic, and the time it cannot beat.

Handed a lowered step: `devices` says for which devices to lower it, `compile_step` compiles it, ahead
of time and without an accelerator, `lines` tells the result. python -m byol_jax plan does all three.
"""

from byol_jax.plan.chips import CHIPS, Chip, devices
from byol_jax.plan.compiled import Plan, compile_step, largest
from byol_jax.plan.costs import flops
from byol_jax.plan.report import lines
from byol_jax.plan.roofline import Roofline, roofline
