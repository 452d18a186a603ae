"""Supervised training of a classifier on top of an encoder, which may be frozen."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from byol_jax import networks, optimizers, randomness
from byol_jax.evaluation import features
from byol_jax.system import devices


class Backbone(NamedTuple):
    """An encoder to train a classifier on, with its preprocessing.

    Attributes:
        network: The encoder; its outputs are features [B, F].
        params: Parameters of the encoder.
        stats: Batch-norm statistics of the encoder.
        num_features: Number of features, F.
        view: Draws random crops for training; maps keys [B] and images [B, H, W, C] to
            [B, h, w, C].
        evaluation_view: Prepares images for testing; maps [B, H, W, C] to [B, h, w, C].
    """

    network: networks.Network
    params: Any
    stats: Any
    num_features: int
    view: Callable[[jax.Array, jax.Array], jax.Array]
    evaluation_view: Callable[[jax.Array], jax.Array]


class Images(NamedTuple):
    """The images and labels of a split.

    Attributes:
        take: Reads images; maps example numbers [B] to images [B, H, W, C].
        labels: Labels, int [N]. A split without labels has None here; every protocol rejects it
            with a UserError.
    """

    take: Callable[[np.ndarray], np.ndarray]
    labels: np.ndarray


class Recipe(NamedTuple):
    """Settings of supervised training by SGD with momentum 0.9.

    Attributes:
        batch_size: Examples per step.
        weight_decay: Weight decay of the kernels.
        nesterov: True uses Nesterov momentum.
        milestones: Fractions of the run at which the learning rate drops to a tenth. Without
            milestones the learning rate follows a cosine down to 0.
        frozen: True trains only the classifier; the parameters and the statistics of the encoder
            stay constant.
    """

    batch_size: int
    weight_decay: float = 0.0
    nesterov: bool = True
    milestones: tuple[float, ...] = ()
    frozen: bool = False


class Classifier(NamedTuple):
    """An encoder with a linear layer that outputs one score per class.

    Attributes:
        params: Parameters of the encoder.
        stats: Batch-norm statistics of the encoder.
        head: Parameters of the linear layer: `kernel` [F, classes] and `bias` [classes].
    """

    params: Any
    stats: Any
    head: Any


class _State(NamedTuple):
    classifier: Classifier
    opt_state: Any


class Tuner:
    """Trains classifiers on top of one encoder and predicts classes with them.

    The arrays of the backbone are copied, never changed. The train step compiles once per batch
    size.

    Args:
        backbone: The encoder to start from.
        num_classes: Number of classes.
        recipe: Settings of the training.
    """

    def __init__(self, backbone: Backbone, num_classes: int, recipe: Recipe):
        self._backbone = backbone
        self._num_classes = num_classes
        self._recipe = recipe
        decay = optax.add_decayed_weights(recipe.weight_decay, optimizers.kernels)
        self._optimizer = optax.chain(decay, optax.trace(0.9, recipe.nesterov))
        self._step = jax.jit(self._advance, donate_argnums=0)
        self._scores = jax.jit(self._compute_scores)

    def fit(
        self, images: Images, index: np.ndarray, *, learning_rate: float, epochs: int, seed: int
    ) -> Classifier:
        """Trains a classifier, starting from the encoder and a linear layer of zeros.

        Args:
            images: The split to train on.
            index: Numbers of the examples to train on, int [N].
            learning_rate: Peak learning rate for a batch of 256; it scales linearly with the batch
                size.
            epochs: Passes over the examples.
            seed: Seed of the order of the examples and of the random crops.

        Returns:
            The trained classifier.
        """
        rng = np.random.default_rng(seed)
        order = features.order(rng, index, epochs, self._recipe.batch_size)
        schedule = self._schedule(learning_rate * order.shape[1] / 256, len(order))
        # The step donates its state, so it must not get the arrays of the backbone themselves.
        copies = jax.tree.map(jnp.array, (self._backbone.params, self._backbone.stats))
        state = self._initial_state(*copies)
        for step, batch_index in enumerate(order):
            key = randomness.step_key(seed, jnp.int32(step))
            labels = np.asarray(images.labels[batch_index], np.int32)
            batch_images, batch_labels = _place((images.take(batch_index), labels))
            state = self._step(state, key, batch_images, batch_labels, schedule(step))
        return state.classifier

    def predict(
        self, classifier: Classifier, images: Images, index: np.ndarray, *, batch_size: int = 500
    ) -> np.ndarray:
        """Predicts the most likely class of each image.

        Args:
            classifier: A classifier from `fit`.
            images: The split that contains the examples.
            index: Numbers of the examples, int [N].
            batch_size: Examples per batch.

        Returns:
            Classes, int [N].
        """
        size = min(batch_size, len(index))
        # All batches have one shape: the last one is padded with its last example.
        padded = np.concatenate([index, np.repeat(index[-1:], -len(index) % size)])
        batches = []
        for batch_index in padded.reshape(-1, size):
            (batch_images,) = _place((images.take(batch_index),))
            batches.append(np.argmax(self._scores(classifier, batch_images), axis=-1))
        return np.concatenate(batches)[: len(index)]

    def lower(
        self, train_images: jax.ShapeDtypeStruct, test_images: jax.ShapeDtypeStruct
    ) -> tuple[jax.stages.Lowered, jax.stages.Lowered]:
        """Lowers a training step and a prediction from shapes.

        Args:
            train_images: A batch to train on, [B, H, W, C], with the sharding to compile for.
            test_images: A batch to predict the classes of.

        Returns:
            The lowered training step, and the lowered prediction.
        """
        place = train_images.sharding
        encoder = (self._backbone.params, self._backbone.stats)
        state = devices.outline(jax.eval_shape(self._initial_state, *encoder), place)
        key = jax.eval_shape(lambda: randomness.step_key(0, jnp.int32(0)))
        key = devices.outline(key, place)
        labels = jax.ShapeDtypeStruct(train_images.shape[:1], jnp.int32, sharding=place)
        rate = jax.ShapeDtypeStruct((), jnp.float32, sharding=place)
        return (
            self._step.lower(state, key, train_images, labels, rate),
            self._scores.lower(state.classifier, test_images),
        )

    def _initial_state(self, params: Any, stats: Any) -> _State:
        shape = (self._backbone.num_features, self._num_classes)
        head = {"kernel": jnp.zeros(shape), "bias": jnp.zeros(shape[1:])}
        classifier = Classifier(params, stats, head)
        return _State(classifier, self._optimizer.init(self._trainable(classifier)))

    def _schedule(self, peak: float, total_steps: int) -> Callable[[int], Any]:
        if not self._recipe.milestones:
            return optimizers.cosine(peak, total_steps, steps_per_epoch=1)
        drops = np.array([round(part * total_steps) for part in self._recipe.milestones])
        return lambda step: np.float32(peak * 0.1 ** np.sum(step >= drops))

    def _trainable(self, classifier: Classifier) -> Any:
        if self._recipe.frozen:
            return classifier.head
        return classifier.params, classifier.head

    def _advance(self, state: _State, key, images, labels, learning_rate) -> _State:
        classifier = state.classifier
        frozen = self._recipe.frozen
        network = self._backbone.network
        rows = jnp.arange(len(images), dtype=jnp.int32)
        view = self._backbone.view(randomness.row_keys(key, rows), images)

        def loss(trainable):
            params, head = (classifier.params, trainable) if frozen else trainable
            outputs, stats = network.apply(params, classifier.stats, view, train=not frozen)
            scores = _compute_logits(head, outputs)
            losses = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
            return jnp.mean(losses), stats

        trainable = self._trainable(classifier)
        grads, stats = jax.grad(loss, has_aux=True)(trainable)
        updates, opt_state = self._optimizer.update(grads, state.opt_state, trainable)
        trainable = jax.tree.map(lambda p, u: p - learning_rate * u, trainable, updates)
        params, head = (classifier.params, trainable) if frozen else trainable
        return _State(Classifier(params, stats, head), opt_state)

    def _compute_scores(self, classifier: Classifier, images):
        view = self._backbone.evaluation_view(images)
        network = self._backbone.network
        outputs, _ = network.apply(classifier.params, classifier.stats, view, train=False)
        return _compute_logits(classifier.head, outputs)


def _compute_logits(head, outputs):
    return outputs @ head["kernel"] + head["bias"][None, :]


def _place(arrays: Sequence[np.ndarray]) -> tuple[jax.Array, ...]:
    """Splits a batch evenly over this process's devices; if that is impossible, uses one device."""
    sharding = devices.sharded()
    if len(arrays[0]) % sharding.num_devices:
        return jax.device_put(tuple(arrays))
    return jax.device_put(tuple(arrays), sharding)
