"""`bench microbatches`: the train step in microbatches beside the same step in one batch."""

from typing import Any

from ml_collections import ConfigDict

from byol_jax import errors
from byol_jax.commands.bench import step, timing


def measure(config: ConfigDict) -> dict[str, Any]:
    """Measures how much longer a train step takes in microbatches than in one batch.

    The two steps run in rounds that alternate between them, on views that are made in advance.
    Prints the results.

    Args:
        config: The experiment's config, with at least two microbatches.

    Returns:
        Images per second as "byol_jax", in microbatches, and "one_batch"; and "ratios" with their
        ratio, the median over the rounds.

    Raises:
        UserError: There is only one microbatch, or the views differ in size.
    """
    if config.microbatches < 2:
        raise errors.UserError(
            "bench microbatches compares with one batch; set --config.microbatches=8, say."
        )
    whole = config.copy_and_resolve_references()
    whole.microbatches = 1
    views = step.random_views(config)
    calls = {
        "byol_jax": step.compile_step(config, views).call,
        "one_batch": step.compile_step(whole, views).call,
    }
    return timing.report(timing.alternate(calls), config.batch_size, "images/s")
