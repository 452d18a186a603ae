"""The self-supervised methods. Each has one file with a function that creates its `Method`."""

from byol_jax.methods.base import Method
from byol_jax.methods.byol import byol
from byol_jax.methods.cpc import cpc
from byol_jax.methods.instdisc import instdisc
from byol_jax.methods.moco import moco
from byol_jax.methods.mocov3 import mocov3
from byol_jax.methods.raft import raft
from byol_jax.methods.simclr import simclr
from byol_jax.methods.supervised import supervised

METHODS = {
    "byol": byol,
    "cpc": cpc,
    "instdisc": instdisc,
    "moco": moco,
    "mocov3": mocov3,
    "raft": raft,
    "simclr": simclr,
    "supervised": supervised,
}

__all__ = [
    "METHODS",
    "Method",
    "byol",
    "cpc",
    "instdisc",
    "moco",
    "mocov3",
    "raft",
    "simclr",
    "supervised",
]
