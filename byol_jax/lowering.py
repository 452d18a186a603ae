"""The trainer's step, lowered for devices that need not be here, from shapes alone.

python -m byol_jax plan: nothing of the model's or the data's size is allocated.
"""

import jax
from ml_collections import ConfigDict

from byol_jax import assemble, data, inputs, plan, runtime, train_step


def outline(config: ConfigDict, num_examples: int | None = None) -> data.Source:
    """What is known of the training split; num_examples: where that is not (see data.outline)."""
    return data.outline(
        config.data.name,
        config.data.train_split,
        data_dir=config.data.data_dir,
        image_size=config.data.image_size,
        num_examples=num_examples,
    )


def shapes(config: ConfigDict, source: data.Source, way: inputs.Inputs, num_devices: int) -> tuple:
    """The arguments of the parallel step as jax.ShapeDtypeStruct: (state, batch[, examples]).

    Leaves of the batch are [num_devices, B, …], where B * num_devices is config.batch_size; of a
    resident data set it has the index alone, and examples have leaves [all, …].
    """
    state = jax.eval_shape(assemble.first_state(config, source, way))
    per_device = config.batch_size // num_devices

    def rows(count):
        found = {"image": jax.eval_shape(lambda: inputs.zeros(way, source, count))}
        if source.num_classes is not None:
            found["label"] = jax.ShapeDtypeStruct((count,), "int32")
        return found

    index = {"index": jax.ShapeDtypeStruct((num_devices, per_device), "int32")}
    if way.resident:
        return state, index, rows(len(source))
    dealt = {
        name: jax.ShapeDtypeStruct((num_devices, *x.shape), x.dtype)
        for name, x in rows(per_device).items()
    }
    return state, {**dealt, **index}


def lower(config: ConfigDict, source: data.Source, devices: list[jax.Device]) -> jax.stages.Lowered:
    """The step that training would compile, lowered for these devices, one process or many.

    Raises ValueError as training would: for an unknown name, a batch that does not divide, ….
    """
    runtime.check_batch_size(config.batch_size, config.microbatches, len(devices))
    way = inputs.choose(config, source)
    made = assemble.parts(config, source, way, axis_name=train_step.AXIS)
    step = assemble.step(config, made, way, devices=devices)
    return step.lower(*shapes(config, source, way, len(devices)))


def report(
    config: ConfigDict, topology: str, *, num_examples: int | None = None, largest: bool = False
) -> plan.Plan:
    """Compiles the step for a topology such as "v5e:4x4", prints what it costs, and returns that.

    largest: also compiles for other batches, to find the largest that fits: a compile each.

    Raises ImportError without the extra `plan`, ValueError for an unknown topology or config.
    """
    chip, devices = plan.devices(topology)
    source = outline(config, num_examples)
    print(f"{config.method.name}, {config.encoder.name}, {len(source):,} images, {topology}")

    def compile_at(per_device: int) -> plan.Plan:
        at = config.copy_and_resolve_references()
        at.batch_size = per_device * len(devices)
        return plan.compile_step(lower(at, source, devices), chip, per_device)

    per_device = config.batch_size // len(devices)
    runtime.check_batch_size(config.batch_size, config.microbatches, len(devices))
    found = compile_at(per_device)
    images = config.epochs * (len(source) // config.batch_size) * config.batch_size
    print("\n".join(plan.lines(found, chip, len(devices), images)))
    if largest:
        best = plan.largest(compile_at, found, multiple_of=config.microbatches)
        print(f"largest batch that fits: {best} a device, {best * len(devices)} in all")
    return found
