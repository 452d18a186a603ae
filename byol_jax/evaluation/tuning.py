"""Training on labels from an encoder on: the whole network, or a classifier on a frozen one."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from byol_jax import networks, optimizers, randomness
from byol_jax.evaluation import features


class Backbone(NamedTuple):
    """What a classifier is put upon.

    view(keys [B], images [B, H, W, C]): random crops to train on; evaluation_view(images): to test.
    """

    network: networks.Network
    params: chex.ArrayTree
    stats: chex.ArrayTree
    num_features: int
    view: Callable
    evaluation_view: Callable


class Images(NamedTuple):
    """A split: take(index [B]) reads images [B, H, W, C]; labels are int [N]."""

    take: Callable[[np.ndarray], np.ndarray]
    labels: np.ndarray


class Recipe(NamedTuple):
    """How to train: SGD with momentum 0.9, whose rate falls to 0 along a cosine.

    milestones: parts of the run after each of which the rate is a tenth, instead of the cosine.
    frozen: the encoder does not move, neither its parameters nor its statistics.
    """

    batch_size: int
    weight_decay: float = 0.0
    nesterov: bool = True
    milestones: tuple[float, ...] = ()
    frozen: bool = False


class Classifier(NamedTuple):
    """A network and its last layer: head has kernel [F, classes] and bias [classes]."""

    params: chex.ArrayTree
    stats: chex.ArrayTree
    head: chex.ArrayTree


class Tuner:
    """Trains and tests classifiers on one backbone; compiles once for all of one batch size.

    It learns, or not, by what `frozen` says; the backbone's own arrays never move.
    """

    def __init__(self, backbone: Backbone, num_classes: int, recipe: Recipe):
        self._backbone, self._num_classes, self._recipe = backbone, num_classes, recipe
        mask = optimizers.kernels
        decay = optax.add_decayed_weights(recipe.weight_decay, mask)
        self._optimizer = optax.chain(decay, optax.trace(0.9, recipe.nesterov))
        self._step = jax.jit(self._advance, donate_argnums=0)
        self._scores = jax.jit(self._scores_of)

    def fit(
        self, images: Images, index: np.ndarray, *, learning_rate: float, epochs: int, seed: int
    ) -> Classifier:
        """The classifier after so many epochs on the examples at index [N] of `images`.

        learning_rate: of a batch of 256; of others in proportion.
        """
        rng, batch_size = np.random.default_rng(seed), self._recipe.batch_size
        order = features.order(rng, index, epochs, batch_size)
        rate = self._schedule(learning_rate * order.shape[1] / 256, len(order))
        state = jax.tree.map(jnp.array, self._first())  # copies, for the step takes them over
        state = state, self._optimizer.init(self._moved(state))
        for number, chosen in enumerate(order):
            key = randomness.step_key(seed, number)
            batch = _dealt((images.take(chosen), np.asarray(images.labels[chosen], np.int32)))
            state = self._step(state, key, *batch, rate(number))
        return state[0]

    def guess(
        self, classifier: Classifier, images: Images, index: np.ndarray, *, batch_size: int = 500
    ) -> np.ndarray:
        """The likeliest class of each example at index [N]: int [N]."""
        size = min(batch_size, len(index))
        padded = np.concatenate([index, np.repeat(index[-1:], -len(index) % size)])
        found = [
            np.argmax(self._scores(classifier, *_dealt((images.take(part),))), axis=-1)
            for part in padded.reshape(-1, size)
        ]
        return np.concatenate(found)[: len(index)]

    def _first(self) -> Classifier:
        shape = (self._backbone.num_features, self._num_classes)
        head = {"kernel": jnp.zeros(shape), "bias": jnp.zeros(shape[1:])}
        return Classifier(self._backbone.params, self._backbone.stats, head)

    def _schedule(self, peak, total) -> Callable[[int], Any]:
        if not self._recipe.milestones:
            return optimizers.cosine(peak, total, steps_per_epoch=1)
        starts = np.array([round(part * total) for part in self._recipe.milestones])
        return lambda step: np.float32(peak * 0.1 ** np.sum(step >= starts))

    def _moved(self, classifier):
        return classifier.head if self._recipe.frozen else (classifier.params, classifier.head)

    def _advance(self, state, key, images, labels, rate):
        (classifier, opt_state), frozen = state, self._recipe.frozen
        rows = jnp.arange(len(images), dtype=jnp.int32)
        view = self._backbone.view(randomness.row_keys(key, rows), images)

        def loss(moved):
            params, head = (classifier.params, moved) if frozen else moved
            network = self._backbone.network
            rows, stats = network.apply(params, classifier.stats, view, train=not frozen)
            each = optax.softmax_cross_entropy_with_integer_labels(_logits(head, rows), labels)
            return jnp.mean(each), stats

        moved = self._moved(classifier)
        grads, stats = jax.grad(loss, has_aux=True)(moved)
        updates, opt_state = self._optimizer.update(grads, opt_state, moved)
        moved = jax.tree.map(lambda p, u: p - rate * u, moved, updates)
        params, head = (classifier.params, moved) if frozen else moved
        return Classifier(params, stats, head), opt_state

    def _scores_of(self, classifier, images):
        view = self._backbone.evaluation_view(images)
        params, stats, head = classifier
        rows, _ = self._backbone.network.apply(params, stats, view, train=False)
        return _logits(head, rows)


def _logits(head, rows):
    return rows @ head["kernel"] + head["bias"][None, :]


def _dealt(arrays: Sequence[np.ndarray]):
    """Over all devices of this process where the examples divide among them."""
    devices = jax.local_devices()
    if len(arrays[0]) % len(devices):
        return jax.device_put(tuple(arrays))
    mesh = Mesh(np.array(devices), "devices")
    return jax.device_put(tuple(arrays), NamedSharding(mesh, PartitionSpec("devices")))
