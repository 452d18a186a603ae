"""Counts floating-point operations of convolutions and matrix products."""

import math
import re
from collections.abc import Mapping

from byol_jax import errors
from byol_jax.plan import hlo

OPERATIONS = ("convolution", "dot")
KINDS = ("bfloat16", "float32", "highest")


def flops(computation: hlo.Computation, instruction: hlo.Instruction) -> float:
    """Counts the floating-point operations of an HLO instruction; a multiply-add counts as two.

    Args:
        computation: The computation that contains the instruction.
        instruction: The instruction.

    Returns:
        Number of operations; 0 if the instruction is neither a convolution nor a matrix product.

    Raises:
        UserError: If the instruction is malformed.
    """
    if instruction.operation == "convolution":
        return _convolution_flops(computation, instruction)
    if instruction.operation == "dot":
        return _dot_flops(computation, instruction)
    return 0.0


def kind(computation: hlo.Computation, instruction: hlo.Instruction) -> str:
    """Tells how an accelerator computes a product; the kinds differ in speed.

    Args:
        computation: The computation that contains the instruction.
        instruction: A convolution or matrix product.

    Returns:
        A name of KINDS: "bfloat16" for operands of at most 16 bits; "float32" for others; "highest"
        for those of a precision above the default.
    """
    operands = [computation[name].result[0] for name in instruction.operands[:2]]
    if any(operand.dtype in ("bf16", "f16") for operand in operands):
        return "bfloat16"
    return "highest" if "operand_precision={high" in instruction.attributes else "float32"


def _convolution_flops(computation: hlo.Computation, instruction: hlo.Instruction) -> float:
    """Counts a convolution's operations: a multiplication and an addition per product.

    Products with the padding do not count.
    """
    inputs, kernel = (computation[name].result[0].shape for name in instruction.operands[:2])
    input_labels, kernel_labels, output_labels = _dimension_labels(instruction)
    output = instruction.result[0].shape
    window = {
        key: values.split("x")
        for key, values in re.findall(r"(\w+)=([\dx_\-]+)", _window(instruction))
    }
    flops = 2.0 * kernel[kernel_labels.index("i")]
    flops *= output[output_labels.index("b")] * output[output_labels.index("f")]
    for d in range(len(output_labels) - 2):
        axis = str(d)
        flops *= _count_products(
            inputs[input_labels.index(axis)],
            output[output_labels.index(axis)],
            kernel[kernel_labels.index(axis)],
            {key: values[d] for key, values in window.items()},
        )
    return flops


def _dimension_labels(instruction: hlo.Instruction) -> tuple[str, str, str]:
    """Returns the axis labels of a convolution's input, kernel and output, such as "b01f"."""
    match = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.attributes)
    if match is None:
        raise errors.UserError(f"the HLO convolution {instruction.name} has no dim_labels.")
    inputs, kernel, output = match.groups()
    return inputs, kernel, output


def _window(instruction: hlo.Instruction) -> str:
    match = re.search(r"window=\{([^}]*)\}", instruction.attributes)
    return match.group(1) if match else ""


def _count_products(
    input_size: int, output_size: int, kernel_size: int, options: Mapping[str, str]
) -> int:
    """Counts the multiplications along one axis of a convolution, except those with padding."""
    stride = int(options.get("stride", 1))
    padding = int(options.get("pad", "0_0").split("_")[0])
    input_dilation = int(options.get("lhs_dilate", 1))
    kernel_dilation = int(options.get("rhs_dilate", 1))
    last = (input_size - 1) * input_dilation
    count = 0
    for k in range(kernel_size):
        positions = (o * stride + k * kernel_dilation - padding for o in range(output_size))
        count += sum(0 <= p <= last and p % input_dilation == 0 for p in positions)
    return count


def _dot_flops(computation: hlo.Computation, instruction: hlo.Instruction) -> float:
    left = computation[instruction.operands[0]].result[0].shape
    match = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", instruction.attributes)
    contracted = [left[int(d)] for d in match.group(1).split(",") if d] if match else []
    return 2.0 * math.prod(contracted) * math.prod(instruction.result[0].shape)
