"""Emulation of a TPU's default float32 matrix product on a CPU.

By default, a TPU rounds the operands of a float32 product to bfloat16, and sums in float32. A
product with precision HIGHEST is as exact as on a CPU.
"""

import contextlib

import jax
import jax.numpy as jnp
from jax._src.interpreters import mlir as rules
from jax.extend.core.primitives import dot_general_p
from jax.interpreters import mlir

_HIGHEST = jax.lax.Precision.HIGHEST


def _rounded_product(lhs, rhs, *, dimension_numbers, preferred_element_type, **_):
    # reduce_precision: XLA would remove a conversion to bfloat16 and back.
    lhs = jax.lax.reduce_precision(lhs, exponent_bits=8, mantissa_bits=7)
    rhs = jax.lax.reduce_precision(rhs, exponent_bits=8, mantissa_bits=7)
    return jax.lax.dot_general(
        lhs,
        rhs,
        dimension_numbers,
        precision=_HIGHEST,
        preferred_element_type=preferred_element_type,
    )


@contextlib.contextmanager
def emulated():
    """Computes float32 products as a TPU does, within the context."""
    on_cpu = rules._platform_specific_lowerings["cpu"]
    exact = on_cpu[dot_general_p]
    rounded = mlir.lower_fun(_rounded_product, multiple_results=False)

    def lower(context, lhs, rhs, *, precision, **params):
        pair = precision if isinstance(precision, tuple) else (precision, precision)
        is_exact = pair == (_HIGHEST, _HIGHEST) or context.avals_in[0].dtype != jnp.float32
        rule = exact.rule if is_exact else rounded
        return rule(context, lhs, rhs, precision=precision, **params)

    jax.clear_caches()
    mlir.register_lowering(dot_general_p, lower, platform="cpu")
    try:
        with jax.default_matmul_precision(None):
            yield
    finally:
        on_cpu[dot_general_p] = exact
        jax.clear_caches()
