"""A Keras 3 model in plain jit, on a batch that is sharded over all devices."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from byol_jax import losses

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((16,)),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(8),
    ]
)


@jax.jit
def value_and_grad(trainable, fixed, a, b):
    def loss(trainable):
        projections_a, _ = model.stateless_call(trainable, fixed, a)
        projections_b, _ = model.stateless_call(trainable, fixed, b)
        return losses.nt_xent(projections_a, projections_b, temperature=0.1).mean()

    return jax.value_and_grad(loss)(trainable)


key_a, key_b = jax.random.split(jax.random.key(0))
a = jax.random.normal(key_a, (32, 16))  # two views of 32 examples
b = jax.random.normal(key_b, (32, 16))
params = [variable.value for variable in model.trainable_variables]
fixed = [variable.value for variable in model.non_trainable_variables]
expected = value_and_grad(params, fixed, a, b)  # on one device

mesh = jax.make_mesh((jax.device_count(),), ("devices",), axis_types=(AxisType.Auto,))
params, fixed = jax.device_put((params, fixed), NamedSharding(mesh, P()))
a, b = jax.device_put((a, b), NamedSharding(mesh, P("devices")))
loss, grads = value_and_grad(params, fixed, a, b)
