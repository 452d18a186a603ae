"""Batches: workers, processes and restarts change nothing; and the wait for them is measured."""

import threading
import time

import jax.numpy as jnp
import numpy as np
import pytest

from byol_jax import data

NUM_EXAMPLES, BATCH = 50, 8  # 6 steps an epoch


def _take(index, step, row):
    return {"index": index, "step": np.full(len(index), step), "row": row}


def _batches(num_steps, take=_take, **options):
    sizes = {"num_examples": NUM_EXAMPLES, "batch_size": BATCH, "seed": 1}
    iterator = data.batches(take, **{**sizes, **options})
    try:
        return [next(iterator) for _ in range(num_steps)]
    finally:
        iterator.close()


def _assert_equal(got, want):
    for a, b in zip(got, want, strict=True):
        for name in b:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_a_start_in_the_middle_of_an_epoch_goes_on_with_the_next_example():
    _assert_equal(_batches(5, start_step=9), _batches(14)[9:])


def _joined(count, **options):
    parts = [_batches(8, process_index=p, process_count=count, **options) for p in range(count)]
    return [
        {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        for batches in zip(*parts, strict=True)
    ]


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_the_batches_of_one(count):
    _assert_equal(_joined(count, start_step=3), _batches(8, start_step=3))


@pytest.mark.parametrize("workers", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_workers_change_nothing(workers):
    source = data.open_source("fashion_mnist_10k", f"test[:{NUM_EXAMPLES}]")
    own = _batches(8, lambda index, step, row: {**source.take(index), **_take(index, step, row)})
    take = _Take(source)
    _assert_equal(_batches(8, take, num_workers=workers), own)
    _assert_equal(_joined(2, take=take, num_workers=workers), own)


class _Take:
    def __init__(self, source):
        self.source = source

    def __call__(self, index, step, row):
        return {**self.source.take(index), **_take(index, step, row)}


def test_every_example_has_its_step_and_its_row():
    for step, batch in enumerate(_batches(3, start_step=4), start=4):
        np.testing.assert_array_equal(batch["step"], np.full(BATCH, step))
        np.testing.assert_array_equal(batch["row"], np.arange(BATCH))


def test_an_epoch_shows_no_example_twice_and_the_next_has_another_order():
    index = [batch["index"] for batch in _batches(12)]
    first, second = np.concatenate(index[:6]), np.concatenate(index[6:])
    assert len(np.unique(first)) == len(np.unique(second)) == 48
    assert np.mean(first == second) < 0.2


def test_another_seed_has_another_order():
    assert np.mean(_batches(1)[0]["index"] == _batches(1, seed=2)[0]["index"]) < 0.5


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="larger than the data set of 50 examples"):
        _batches(1, batch_size=51)


def test_a_batch_that_does_not_divide_over_the_processes_names_one_that_does():
    with pytest.raises(ValueError, match=r"number of processes \(3\); try 6"):
        _batches(1, process_count=3)


def test_prefetch_keeps_the_order():
    placed = []

    def place(batch):
        placed.append(batch)
        return -batch

    with data.Prefetch(iter(range(9)), place) as batches:
        assert [batches.next(()) for _ in range(3)] == [0, -1, -2]
    assert placed[:3] == [0, 1, 2]


def test_waiting_is_counted_once_the_devices_are_idle():
    def slow():
        yield 0
        time.sleep(0.3)
        yield 1

    with data.Prefetch(slow(), lambda batch: batch) as batches:
        batches.next(jnp.zeros(()))
        before = batches.waited
        batches.next(jnp.zeros(()))
        assert batches.waited - before > 0.2


def test_a_batch_that_is_there_costs_no_waiting():
    ready = threading.Event()

    def place(batch):
        ready.set()
        return batch

    with data.Prefetch(iter(range(9)), place) as batches:
        assert ready.wait(10)
        time.sleep(0.05)
        batches.next(())
        assert batches.waited == 0.0


def test_an_error_while_reading_reaches_the_loop():
    def broken():
        yield 0
        raise OSError("picture 7 is broken")

    with data.Prefetch(broken(), lambda batch: batch) as batches:
        batches.next(())
        with pytest.raises(OSError, match="picture 7"):
            batches.next(())
