"""A Haiku model under pmap."""

import haiku as hk
import jax

from byol_jax import collectives, losses

network = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([32, 8])(x)))
key, key_a, key_b = jax.random.split(jax.random.key(0), 3)
a = jax.random.normal(key_a, (32, 16))  # two views of 32 examples
b = jax.random.normal(key_b, (32, 16))
params = network.init(key, a)


def value_and_grad(axis_name):
    def loss(params, a, b):
        return losses.nt_xent(
            network.apply(params, a),
            network.apply(params, b),
            temperature=0.1,
            axis_name=axis_name,
        ).mean()

    return collectives.value_and_grad(loss, axis_name)


on_all_devices = jax.pmap(
    value_and_grad("devices"), axis_name="devices", in_axes=(None, 0, 0), out_axes=None
)
devices = jax.device_count()
loss, grads = on_all_devices(params, a.reshape(devices, -1, 16), b.reshape(devices, -1, 16))
expected = value_and_grad(None)(params, a, b)  # on one device
