"""Floating point operations of convolutions and matrix products: what the matrix units do."""

import math
import re

from byol_jax.plan import hlo


def flops(within: dict[str, hlo.Instruction], instruction: hlo.Instruction) -> float:
    """Of one instruction, two for a multiply-add; 0 for what is no product.

    within: the instructions of its computation, by name.
    """
    of = {"convolution": _of_convolution, "dot": _of_dot}.get(instruction.operation)
    return 0.0 if of is None else of(within, instruction)


def _of_convolution(within, instruction) -> float:
    """Two for every product of an element of the input, not of its padding, and of the kernel."""
    left, right = (within[name].result[0].sides for name in instruction.operands[:2])
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.rest)
    of_left, of_right, of_out = labels.groups()
    out = instruction.result[0].sides
    window = {
        key: values.split("x")
        for key, values in re.findall(r"(\w+)=([\dx_\-]+)", _window(instruction))
    }
    flops = 2.0 * right[of_right.index("i")]
    flops *= out[of_out.index("b")] * out[of_out.index("f")]
    for d in range(len(of_out) - 2):
        option = {key: values[d] for key, values in window.items()}
        flops *= _products(
            left[of_left.index(str(d))], out[of_out.index(str(d))], right[of_right.index(str(d))],
            option,
        )  # fmt: skip
    return flops


def _window(instruction) -> str:
    found = re.search(r"window=\{([^}]*)\}", instruction.rest)
    return found.group(1) if found else ""


def _products(side, out, kernel, option) -> int:
    """Pairs of a place in the output and one in the kernel that meet an element of the input."""
    stride, low = int(option.get("stride", 1)), int(option.get("pad", "0_0").split("_")[0])
    spread, dilation = int(option.get("lhs_dilate", 1)), int(option.get("rhs_dilate", 1))
    last, count = (side - 1) * spread, 0
    for k in range(kernel):
        places = (o * stride + k * dilation - low for o in range(out))
        count += sum(0 <= place <= last and place % spread == 0 for place in places)
    return count


def _of_dot(within, instruction) -> float:
    left = within[instruction.operands[0]].result[0].sides
    found = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", instruction.rest)
    summed = [left[int(d)] for d in found.group(1).split(",") if d] if found else []
    return 2.0 * math.prod(summed) * math.prod(instruction.result[0].sides)
