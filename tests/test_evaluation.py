"""Evaluation: features in order, known accuracies, and a test split that chooses nothing."""

import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rich.console
from scipy import optimize, special
from sklearn import neighbors

from byol_jax import evaluation
from byol_jax.evaluation import features, knn, linear, protocols, table, tuning
from support.clusters import CLASSES, NOISY, TIDY


def _evaluate(splits, **how):
    """All of protocols.evaluate, on features alone."""
    subject = protocols.Subject(lambda: (splits[0], splits[2]))
    images = (tuning.Images(None, labels) for labels in (splits[1], splits[3]))
    return protocols.evaluate(subject, *images, num_classes=CLASSES, **how)


# Features


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_extract_keeps_the_order_and_compiles_once(batch_size):
    images, shapes = np.arange(7 * 4, dtype=np.uint8).reshape(7, 2, 2), []

    def encode(batch):
        shapes.append(batch.shape)
        return jnp.asarray(batch, jnp.float32).reshape(len(batch), 4)

    got = features.extract(encode, images, batch_size=batch_size)
    np.testing.assert_array_equal(got, images.reshape(7, 4).astype(np.float32))
    assert set(shapes) == {(min(batch_size, 7), 2, 2)} and got.dtype == np.float32


def test_extract_refuses_a_map_of_features():
    with pytest.raises(ValueError, match=r"not \[3, 2, 2\]; pool over the spatial axes"):
        features.extract(lambda images: images, np.zeros((3, 2, 2)))


def test_extract_of_no_images_says_so():
    with pytest.raises(ValueError, match="got 0 images"):
        features.extract(lambda images: images, np.zeros((0, 2)))


# kNN


def test_knn_is_right_on_every_example_of_separate_clusters():
    row = knn.knn(*TIDY, num_classes=CLASSES)
    assert row.accuracy == 1.0
    assert row.settings == {"k": 20, "temperature": 0.1, "num_train": 60, "num_test": 30}


def test_knn_does_not_depend_on_its_batch_size():
    one, many = (knn.knn(*NOISY, num_classes=CLASSES, batch_size=b).accuracy for b in (7, 500))
    assert one == many < 1.0


def test_knn_of_more_neighbours_than_examples_takes_all_and_says_so():
    assert knn.knn(*TIDY, num_classes=CLASSES, k=1000).settings["k"] == 60


def test_knn_is_scikit_learns_weighted_vote():
    def weigh(distances):
        return np.exp((1.0 - distances) / 0.1)

    theirs = neighbors.KNeighborsClassifier(20, weights=weigh, metric="cosine", algorithm="brute")
    theirs.fit(NOISY[0], NOISY[1])
    row = knn.knn(*NOISY, num_classes=CLASSES)
    guesses = theirs.predict(NOISY[2])
    assert row.accuracy == np.mean(guesses == NOISY[3]) < 1.0
    assert row.confusion == table.confusion(NOISY[3], guesses, CLASSES)


def test_knn_never_holds_all_similarities():
    """60,000 against 10,000 of 512 dimensions: no array of the program has so many numbers."""
    shapes = [(500, 512), (60_000, 512)]
    queries, rows = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
    labels = jax.ShapeDtypeStruct((60_000,), jnp.int32)
    how = {"num_classes": 10, "k": 20, "temperature": 0.1}
    memory = knn.scores.lower(queries, rows, labels, **how).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 4 * 60_000 * 10_000 / 4


def test_a_confusion_counts_rows_of_the_true_class():
    got = table.confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    assert got == ((1, 1), (0, 1))
    assert table.confusion(np.array([0]), np.array([0]), 101) is None


# Linear

FAST = {"epochs": 10, "batch_size": 32, "learning_rates": (0.3, 3.0), "weight_decays": (0.0, 1e-2)}


@functools.cache
def _noisy_row():
    return linear.linear(*NOISY, num_classes=CLASSES, **FAST)


def test_linear_is_right_on_every_example_of_separate_clusters():
    row = linear.linear(*TIDY, num_classes=CLASSES, **FAST)
    assert row.accuracy == row.settings["validation_accuracy"] == 1.0


def test_the_test_split_chooses_no_setting():
    train, test_features = NOISY[:2], NOISY[2]
    permuted = np.random.default_rng(0).permutation(NOISY[3])
    other = linear.linear(*train, test_features, permuted, num_classes=CLASSES, **FAST)
    assert other.settings == _noisy_row().settings
    assert other.accuracy < _noisy_row().accuracy


def test_the_held_out_part_is_a_tenth_and_disjoint():
    kept, held_out = features.split(np.random.default_rng(0), 120, 0.1)
    assert sorted([*kept, *held_out]) == list(range(120)) and len(held_out) == 12


def test_the_best_setting_on_the_held_out_part_is_taken():
    """A decay under which nothing is learned loses wherever it stands in the list."""
    for decays in [(1e9, 0.0), (0.0, 1e9)]:
        row = linear.linear(*TIDY, num_classes=CLASSES, **FAST | {"weight_decays": decays})
        assert row.settings["weight_decay"] == 0.0 and row.accuracy == 1.0


def test_a_seed_repeats_a_measurement():
    assert linear.linear(*NOISY, num_classes=CLASSES, **FAST) == _noisy_row()


def test_no_setting_of_the_grid_influences_another():
    train, labels = jnp.asarray(NOISY[0]), jnp.asarray(NOISY[1], jnp.int32)
    order = jnp.arange(120, dtype=jnp.int32).reshape(4, 30)
    fit = functools.partial(linear.fit, train, labels, order, num_classes=CLASSES)
    both = fit(jnp.array([0.1, 1.0]), jnp.array([0.0, 0.1]))
    for g, (rate, decay) in enumerate([(0.1, 0.0), (1.0, 0.1)]):
        alone = fit(jnp.array([rate]), jnp.array([decay]))
        for a, b in zip(both, alone, strict=True):
            np.testing.assert_allclose(a[g], b[0], rtol=1e-5, atol=1e-6)


def _logistic_regression(inputs, labels, weight_decay):
    """Weights [F, classes] and bias that minimise the decayed mean cross-entropy, by L-BFGS."""
    num_features = inputs.shape[1]

    def loss(flat):
        weights, bias = np.split(flat.reshape(num_features + 1, CLASSES), [num_features])
        scores = inputs @ weights + bias
        picked = scores[np.arange(len(labels)), labels]
        grad = special.softmax(scores, axis=1) - np.eye(CLASSES)[labels]
        grads = [inputs.T @ grad / len(labels) + weight_decay * weights, grad.mean(axis=0)[None]]
        value = np.mean(special.logsumexp(scores, axis=1) - picked)
        value += weight_decay / 2 * np.sum(weights**2)
        return value, np.concatenate(grads).ravel()

    start = np.zeros((num_features + 1) * CLASSES)
    flat = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", tol=1e-12).x
    return np.split(flat.reshape(num_features + 1, CLASSES), [num_features])


def test_full_batch_training_ends_at_the_logistic_regression():
    train, labels, weight_decay = np.float64(NOISY[0]), NOISY[1], 0.02
    order = jnp.tile(jnp.arange(120, dtype=jnp.int32), (500, 1))
    settings = jnp.array([1.0]), jnp.array([weight_decay])
    got = linear.fit(NOISY[0], jnp.asarray(labels, jnp.int32), order, *settings, num_classes=3)
    weights, bias = _logistic_regression(train, labels, weight_decay)
    np.testing.assert_allclose(got.weights[0], weights, atol=2e-3)
    np.testing.assert_allclose(got.bias, bias, atol=2e-3)


def test_features_are_measured_in_the_units_of_the_training_split():
    train, test = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[5.0, 9.0]])
    train, test = features.standardize(train, test)
    half = 0.5**0.5  # 1 / sqrt(F), and a feature that is constant says nothing
    np.testing.assert_allclose(train, [[-half, 0], [half, 0]], rtol=1e-6)
    np.testing.assert_allclose(test, [[3 * half, 0]], rtol=1e-6)


# What errors say


@pytest.mark.parametrize("protocol", ["knn", "linear"])
@pytest.mark.parametrize("missing", [1, 3])
def test_missing_labels_say_which_split_lacks_them(protocol, missing):
    splits = [None if i == missing else part for i, part in enumerate(TIDY)]
    name = "training" if missing == 1 else "test"
    with pytest.raises(
        ValueError, match=f"the {name} split has no labels; evaluate on a data set with"
    ):
        _evaluate(splits, protocols=[protocol])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (TIDY[1] - 1, r"must be in \[0, 3\), not in \[-1, 1\]"),
        (TIDY[1] + 1, r"not in \[1, 3\]; correct num_classes"),
        (TIDY[1][:7], r"features \[N, F\] and labels \[N\], not \[60, 5\] and \[7\]"),
        (TIDY[1] / 1.0, "must be integers, not float64"),
    ],
)
def test_labels_that_cannot_be_say_why(labels, words):
    with pytest.raises(ValueError, match=words):
        knn.knn(TIDY[0], labels, *TIDY[2:], num_classes=CLASSES)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learning_rates": ()}, "learning_rates must be one or more positive numbers"),
        ({"weight_decays": (-1.0,)}, "one or more non-negative numbers"),
        ({"epochs": 0}, r"epochs \(0\)"),
        ({"validation_fraction": 0.0}, "holds out 0 of 60"),
    ],
)
def test_options_of_linear_that_cannot_be_say_why(options, words):
    with pytest.raises(ValueError, match=words):
        linear.linear(*TIDY, num_classes=CLASSES, **options)


def test_an_unknown_protocol_names_the_known_ones():
    with pytest.raises(
        ValueError, match="unknown protocol 'svm'; the protocols are knn, linear, logistic, probe"
    ):
        _evaluate(TIDY, protocols=["svm"])


def test_options_of_a_protocol_that_does_not_run_are_an_error():
    with pytest.raises(ValueError, match="protocol 'linear' has options but is not selected"):
        options = {"linear": {"epochs": 1}}
        _evaluate(TIDY, protocols=["knn"], options=options)


# The package, all protocols, and results side by side


def test_the_package_offers_its_modules_and_functions():
    assert dir(evaluation) == evaluation.__all__
    for name in evaluation.__all__:
        assert getattr(evaluation, name) is not None
    assert evaluation.knn.knn is knn.knn and evaluation.evaluate is protocols.evaluate
    with pytest.raises(AttributeError, match="byol_jax.evaluation has no 'svm'; it has Backbone"):
        _ = evaluation.svm


def test_evaluate_gives_a_row_for_each_protocol_with_its_options():
    options = {"knn": {"k": 3}, "linear": FAST}
    rows = _evaluate(TIDY, options=options)
    assert [row.protocol for row in rows] == ["knn", "linear"]
    assert rows[0].settings["k"] == 3 and rows[1].settings["epochs"] == 10


def _printed(rows_by_name):
    console = rich.console.Console(file=io.StringIO(), width=120)
    console.print(table.table(rows_by_name))
    return console.file.getvalue()


def test_the_table_shows_k_and_the_temperature_and_a_dash_for_what_was_not_measured():
    first = table.Row("knn", 0.51234, {"k": 200, "temperature": 0.07})
    second = table.Row("knn", 0.6, {"k": 20, "temperature": 0.1})
    printed = _printed({"learned": [first, table.Row("linear", 0.7, {})], "untrained": [second]})
    for words in ["kNN (k=200, T=0.07)", "kNN (k=20, T=0.1)", "linear", "51.23", "60.00", "70.00"]:
        assert words in printed
    dashes = {line.split()[1]: line.count("–") for line in printed.splitlines() if "." in line}
    assert dashes.pop("learned") == 1 and dashes.pop("untrained") == 2


def test_accuracies_of_a_grid_are_those_of_each_probe():
    probes = linear.Probe(jnp.stack([jnp.eye(3), -jnp.eye(3)]), jnp.zeros((2, 3)))
    got = linear._accuracies(probes, jnp.eye(3), jnp.arange(3, dtype=jnp.int32))
    np.testing.assert_array_equal(got, [1.0, 0.0])
