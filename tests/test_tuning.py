"""Protocols that train on images: what moves, what does not, and which labels are seen."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from byol_jax import augment, networks
from byol_jax.evaluation import finetune, protocols, tuning

CLASSES, SIDE = 3, 8
RNG = np.random.default_rng(0)


def _split(count):
    """Pictures whose class is which third of them is bright."""
    labels = np.arange(count, dtype=np.int32) % CLASSES
    images = RNG.integers(0, 120, (count, SIDE, SIDE, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label : 3 * label + 2] += 100
    return images, labels


TRAIN, TEST = _split(120), _split(60)


def _images(split, seen=None):
    images, labels = split

    def take(index):
        if seen is not None:
            seen.update(np.asarray(index).tolist())
        return images[index]

    return tuning.Images(take, labels)


@functools.cache
def _backbone():
    net = networks.ENCODERS["resnet_tiny"]()
    params, stats = jax.jit(net.init)(jax.random.key(0), jnp.zeros((2, SIDE, SIDE, 1)))
    view = augment.batched(augment.pipeline(order=()))
    evaluation_view = jax.vmap(augment.evaluation_view())
    return tuning.Backbone(net, params, stats, 16, view, evaluation_view)


def _run(protocol, **options):
    how = {"num_classes": CLASSES, "epochs": 2, "batch_size": 16, **options}
    return protocol(_backbone(), _images(TRAIN), _images(TEST), **how)


def test_a_frozen_encoder_does_not_move_by_a_bit():
    recipe = tuning.Recipe(batch_size=16, frozen=True)
    tuner = tuning.Tuner(_backbone(), CLASSES, recipe)
    how = {"learning_rate": 1.0, "epochs": 2, "seed": 0}
    classifier = tuner.fit(_images(TRAIN), np.arange(120), **how)
    before = (_backbone().params, _backbone().stats)
    after = (classifier.params, classifier.stats)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    assert np.abs(classifier.head["kernel"]).max() > 0


def test_fine_tuning_moves_parameters_and_statistics_but_not_the_backbone_given():
    before = jax.tree.map(np.array, (_backbone().params, _backbone().stats))
    tuner = tuning.Tuner(_backbone(), CLASSES, tuning.Recipe(batch_size=16))
    how = {"learning_rate": 0.5, "epochs": 1, "seed": 0}
    classifier = tuner.fit(_images(TRAIN), np.arange(120), **how)
    for a, b in zip(jax.tree.leaves(before[0]), jax.tree.leaves(classifier.params), strict=True):
        assert not np.array_equal(a, b)
    for a, b in zip(jax.tree.leaves(before[1]), jax.tree.leaves(classifier.stats), strict=True):
        assert not np.array_equal(a, b)
    now = (_backbone().params, _backbone().stats)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(now), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fine_tuning_learns_and_tells_how():
    row = _run(finetune.finetune, epochs=8, learning_rates=(0.001, 1.0))
    assert row.protocol == "finetune" and row.accuracy > 0.9
    assert row.settings["learning_rate"] == 1.0 and row.settings["num_train"] == 120
    assert np.sum(row.confusion) == 60
    assert np.trace(row.confusion) == round(60 * row.accuracy)


@pytest.mark.parametrize("recipe", list(finetune.PROBES))
def test_the_papers_probes_run_by_name(recipe):
    row = _run(finetune.probe, recipe=recipe)
    assert row.protocol == f"probe ({recipe})" and row.settings["frozen"]


def test_a_probe_with_milestones_falls_by_tenths():
    recipe = tuning.Recipe(batch_size=4, milestones=(0.6, 0.8))
    rate = tuning.Tuner(_backbone(), CLASSES, recipe)._schedule(30.0, 10)
    got = [float(rate(step)) for step in (0, 5, 6, 7, 8, 9)]
    np.testing.assert_allclose(got, [30, 30, 3, 3, 0.3, 0.3], rtol=1e-6)


def test_few_labels_are_of_every_class_alike_and_of_the_seed():
    labels = np.repeat(np.arange(CLASSES), [50, 60, 4])
    index = finetune.subset(labels, 0.2, num_classes=CLASSES, seed=0)
    assert np.bincount(labels[index]).tolist() == [8, 8, 4]
    assert np.all(np.diff(index) > 0)
    again, other = (finetune.subset(labels, 0.2, num_classes=CLASSES, seed=s) for s in (0, 1))
    np.testing.assert_array_equal(index, again)
    assert not np.array_equal(index, other)


def test_semi_sees_no_training_picture_but_those_with_labels():
    seen = set()
    how = {"num_classes": CLASSES, "epochs": (1,), "fractions": (0.2,), "folds": 2}
    (row,) = finetune.semi(_backbone(), _images(TRAIN, seen), _images(TEST), **how)
    index = finetune.subset(TRAIN[1], 0.2, num_classes=CLASSES, seed=0)
    assert seen == set(index.tolist())
    assert row.protocol == "semi 20%" and row.settings["num_train"] == len(index) == 24


def test_semi_is_the_mean_over_seeds():
    how = {"epochs": (1,), "fractions": (0.2,), "learning_rates": (0.5,)}
    (row,) = _run(finetune.semi, seeds=(0, 1), **how)
    assert len(row.settings["accuracies"]) == 2
    assert row.accuracy == pytest.approx(np.mean(row.settings["accuracies"]))


def test_the_test_split_chooses_nothing():
    permuted = np.random.default_rng(1).permutation(TEST[1])
    options = {"num_classes": CLASSES, "epochs": 4, "batch_size": 16, "learning_rates": (0.01, 1.0)}
    rows = [
        finetune.finetune(_backbone(), _images(TRAIN), _images((TEST[0], labels)), **options)
        for labels in (TEST[1], permuted)
    ]
    assert rows[0].settings == rows[1].settings and rows[0].accuracy != rows[1].accuracy


def test_one_device_tunes_as_four():
    """A batch of 16 divides over the four devices, one of 15 does not; both learn alike."""
    index, how = np.arange(120), {"learning_rate": 0.5, "epochs": 1, "seed": 0}

    def fit():
        tuner = tuning.Tuner(_backbone(), CLASSES, tuning.Recipe(batch_size=16))
        return tuner.fit(_images(TRAIN), index, **how)

    four, local = fit(), jax.local_devices
    jax.local_devices = lambda: local()[:1]
    try:
        one = fit()
    finally:
        jax.local_devices = local
    for a, b in zip(jax.tree.leaves(four), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * max(np.abs(b).max(), 1e-2))


def test_wrong_options_say_what_there_is():
    with pytest.raises(ValueError, match="unknown recipe 'mocov1'; choose one of simclr, moco"):
        _run(finetune.probe, recipe="mocov1")
    with pytest.raises(
        ValueError, match="unknown option 'lr'; the options are learning_rates, epochs"
    ):
        _run(finetune.finetune, lr=1.0)
    with pytest.raises(ValueError, match=r"must be in \(0, 1\], not 2"):
        _run(finetune.semi, fractions=(2,), epochs=(1,))
    with pytest.raises(
        ValueError, match="3 entries for 2 fractions; give one number of epochs per fraction"
    ):
        _run(finetune.semi, epochs=(1, 2, 3))
    with pytest.raises(ValueError, match=r"evaluate.options.knn: .*'n'"):
        subject = protocols.Subject(lambda: (np.ones((120, 2)), np.ones((60, 2))), None)
        protocols.evaluate(subject, _images(TRAIN), _images(TEST), num_classes=CLASSES,
                           protocols=("knn",), options={"knn": {"n": 1}})  # fmt: skip


def test_protocols_on_images_skip_what_is_no_network():
    subject = protocols.Subject(lambda: (np.ones((120, 2)), np.ones((60, 2))), None)
    rows = protocols.evaluate(
        subject, _images(TRAIN), _images(TEST), num_classes=CLASSES, protocols=("knn", "finetune")
    )
    assert [row.protocol for row in rows] == ["knn"]
