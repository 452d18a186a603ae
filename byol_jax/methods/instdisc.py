"""Instance discrimination with a memory bank (Wu et al. 2018, arXiv 1805.01978)."""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from byol_jax import collectives, losses, memory_bank, networks, pickling, randomness
from byol_jax.methods import base


class Memory(NamedTuple):
    """The memory of instance discrimination: the memory bank, and the normalizer of the softmax.

    Attributes:
        bank: Memory bank [num_examples, D].
        normalizer: The constant Z of the softmax; 0 until the first batch estimates it.
    """

    bank: jax.Array
    normalizer: jax.Array


class Noise(Protocol):
    """Draws the noise examples of noise-contrastive estimation."""

    def __call__(
        self, key: jax.Array, rows: jax.Array, *, num_draws: int, num_examples: int
    ) -> jax.Array:
        """Draws random indices of training examples for each example of a batch.

        Args:
            key: PRNG key, the same on all devices.
            rows: Positions of the examples in the global batch, int32 [B].
            num_draws: Number of draws per example.
            num_examples: Number of training examples N.

        Returns:
            Numbers in [0, N), int [B, num_draws].
        """
        ...


@pickling.picklable
def instdisc(
    encoder: networks.Network,
    projector: networks.Network,
    *,
    num_examples: int,
    num_negatives: int = 4096,
    decay: float = 0.5,
    temperature: float = 0.07,
    noise: Noise = randomness.uniform_indices,
    axis_name: collectives.AxisName = None,
) -> base.Method:
    """Creates instance discrimination, which tells each training example from all others.

    A memory bank holds one feature vector per training example. The loss is losses.nce, or
    losses.instance_softmax for the exact softmax.

    Args:
        encoder: Backbone, images to features [B, F].
        projector: Head, features to projections [B, D].
        num_examples: Number of training examples N, the rows of the memory bank.
        num_negatives: Noise draws per example, which may include the positive; 0 computes the exact
            softmax over the bank.
        decay: Weight of the old row when a row of the bank is updated, in [0, 1].
        temperature: Divisor of the cosine similarities, above 0.
        noise: Draws the noise examples; see `Noise`.
        axis_name: Name of the mapped device axis; None computes on one device.

    Returns:
        The method.
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
        x, stats = base.apply_chain(nets, params, stats, views[0])
        outputs = {
            "features": base.stack_views([x["encoder"]]),
            "projections": base.stack_views([x["projector"]]),
        }
        return outputs, stats

    def objective(params, outputs, memory, batch, key, step):
        del params, step
        rows = losses.l2_normalize(outputs["projections"][:, 0])
        index = batch["index"]
        memory_inputs = {"rows": jax.lax.stop_gradient(rows), "index": index}
        if num_negatives == 0:
            loss = losses.instance_softmax(rows, memory.bank, index, temperature=temperature)
            return loss, memory_inputs, {}
        noise_index = noise(key, batch["row"], num_draws=num_negatives, num_examples=num_examples)
        positives = memory_bank.read(memory.bank, index)
        negatives = memory_bank.read(memory.bank, noise_index)
        normalizer = get_normalizer(memory_inputs["rows"], positives, negatives, memory)
        loss = losses.nce(
            rows,
            positives,
            negatives,
            num_examples=num_examples,
            normalizer=normalizer,
            temperature=temperature,
        )
        return loss, {**memory_inputs, "normalizer": normalizer}, {}

    def get_normalizer(rows, positives, negatives, memory):
        candidates = jnp.concatenate([positives[:, None], negatives], axis=1)  # [B, 1 + K, D]
        products = jnp.einsum("bd,bkd->bk", rows, candidates, precision=jax.lax.Precision.HIGHEST)
        scores = jnp.exp(products / temperature)
        # The first batch estimates Z; later batches use that estimate.
        estimate = collectives.pmean(jnp.mean(scores), axis_name) * num_examples
        return jnp.where(memory.normalizer > 0, memory.normalizer, estimate)

    def update_memory(memory, params, memory_inputs, step):
        del params, step
        inputs = (memory_inputs["index"], memory_inputs["rows"])
        index, rows = collectives.all_gather(inputs, axis_name, replicated=True)
        bank = memory_bank.blend(memory.bank, index, rows, decay=decay)
        return Memory(bank, memory_inputs.get("normalizer", memory.normalizer))

    return base.Method(
        init,
        forward,
        objective,
        update_memory,
        coupled=num_negatives > 0,
        schedules={"decay": lambda step: decay},
        axis_name=axis_name,
    )
