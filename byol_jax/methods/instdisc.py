"""Instance discrimination with a memory bank (Wu et al. 2018, arXiv 1805.01978)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from byol_jax import collectives, losses, memory_bank, networks, randomness
from byol_jax.methods import base


class Memory(NamedTuple):
    """The bank [examples, D] and the softmax's constant Z, 0 until the first batch sets it."""

    bank: jax.Array
    normalizer: jax.Array


def instdisc(
    encoder: networks.Network,
    projector: networks.Network,
    *,
    num_examples: int,
    num_negatives: int = 4096,
    decay: float = 0.5,
    temperature: float = 0.07,
    noise: Callable = randomness.uniform_indices,
    axis_name: str | None = None,
) -> base.Method:
    """Tells every training example from all others, by noise-contrastive estimation.

    num_examples: rows of the bank. num_negatives: noise draws per example, which may hit the
    positive too; 0 takes the exact softmax over the bank. noise(key, rows, num_draws=,
    num_examples=) -> int [B, num_draws] draws them.
    """
    nets = {"encoder": encoder, "projector": projector}

    def init(key, views):
        net_key, bank_key = jax.random.split(key)
        params, stats, outputs = base.init_chain(net_key, nets, views[0])
        shape = outputs["projector"].shape
        bank = memory_bank.create(bank_key, num_examples, shape[-1])
        return params, stats, Memory(bank, jnp.float32(0.0))

    def forward(params, stats, memory, views, key):
        del memory, key
        seen, stats = base.apply_chain(nets, params, stats, views[0])
        outputs = {
            "features": base.stack_views([seen["encoder"]]),
            "projections": base.stack_views([seen["projector"]]),
        }
        return outputs, stats

    def objective(outputs, memory, batch, key):
        rows = losses.l2_normalize(outputs["projections"][:, 0])
        index = batch["index"]
        kept = {"rows": jax.lax.stop_gradient(rows), "index": index}
        if num_negatives == 0:
            each = losses.instance_softmax(rows, memory.bank, index, temperature=temperature)
            return each, kept, {}
        drawn = noise(key, batch["row"], num_draws=num_negatives, num_examples=num_examples)
        positives = memory_bank.read(memory.bank, index)
        negatives = memory_bank.read(memory.bank, drawn)
        normalizer = _normalizer(kept["rows"], positives, negatives, memory)
        each = losses.nce(
            rows,
            positives,
            negatives,
            num_examples=num_examples,
            normalizer=normalizer,
            temperature=temperature,
        )
        return each, {**kept, "normalizer": normalizer}, {}

    def _normalizer(rows, positives, negatives, memory):
        candidates = jnp.concatenate([positives[:, None], negatives], axis=1)  # [B, 1 + K, D]
        scores = jnp.exp(jnp.einsum("bd,bkd->bk", rows, candidates) / temperature)
        first = collectives.pmean(jnp.mean(scores), axis_name) * num_examples
        return jnp.where(memory.normalizer > 0, memory.normalizer, first)

    def remember(memory, params, kept, step):
        del params, step
        index, rows = collectives.all_gather((kept["index"], kept["rows"]), axis_name)
        bank = memory_bank.blend(memory.bank, index, rows, decay=decay)
        return Memory(bank, kept.get("normalizer", memory.normalizer))

    return base.Method(
        init,
        forward,
        objective,
        remember,
        coupled=num_negatives > 0,
        schedules={"decay": lambda step: decay},
    )
