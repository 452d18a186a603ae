"""An Equinox model under shard_map, on a mesh with Explicit axes."""

import equinox as eqx
import jax
from jax.sharding import PartitionSpec as P

from byol_jax import collectives, losses

key, key_a, key_b = jax.random.split(jax.random.key(0), 3)
model = eqx.nn.MLP(in_size=16, out_size=8, width_size=32, depth=1, key=key)
params, static = eqx.partition(model, eqx.is_inexact_array)
a = jax.random.normal(key_a, (32, 16))  # two views of 32 examples
b = jax.random.normal(key_b, (32, 16))


def value_and_grad(axis_name):
    def loss(params, a, b):
        project = jax.vmap(eqx.combine(params, static))
        return losses.nt_xent(project(a), project(b), temperature=0.1, axis_name=axis_name).mean()

    return collectives.value_and_grad(loss, axis_name)


mesh = jax.make_mesh((jax.device_count(),), ("devices",))  # Explicit is the default
on_all_devices = jax.jit(
    jax.shard_map(
        value_and_grad("devices"),
        mesh=mesh,
        in_specs=(P(), P("devices"), P("devices")),
        out_specs=(P(), P()),
    )
)
expected = value_and_grad(None)(params, a, b)  # on one device
params = jax.device_put(params, jax.NamedSharding(mesh, P()))
a, b = jax.device_put((a, b), jax.NamedSharding(mesh, P("devices")))
loss, grads = on_all_devices(params, a, b)
