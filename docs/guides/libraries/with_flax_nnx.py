"""A Flax NNX model with nnx.jit, on a batch that is sharded over all devices."""

import jax
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from byol_jax import losses


class Network(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(16, 32, rngs=rngs)
        self.norm = nnx.LayerNorm(32, rngs=rngs)
        self.out = nnx.Linear(32, 8, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.norm(self.hidden(x))))


@nnx.jit
def value_and_grad(model, a, b):
    def loss(model):
        return losses.nt_xent(model(a), model(b), temperature=0.1).mean()

    return nnx.value_and_grad(loss)(model)


key_a, key_b = jax.random.split(jax.random.key(0))
model = Network(nnx.Rngs(0))
a = jax.random.normal(key_a, (32, 16))  # two views of 32 examples
b = jax.random.normal(key_b, (32, 16))
expected = value_and_grad(model, a, b)  # on one device

mesh = jax.make_mesh((jax.device_count(),), ("devices",), axis_types=(AxisType.Auto,))
graph, state = nnx.split(model)
model = nnx.merge(graph, jax.device_put(state, NamedSharding(mesh, P())))
a, b = jax.device_put((a, b), NamedSharding(mesh, P("devices")))
loss, grads = value_and_grad(model, a, b)
