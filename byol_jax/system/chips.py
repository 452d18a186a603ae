"""The data sheets of accelerators: their speed and their memory."""

from typing import NamedTuple


class Chip(NamedTuple):
    """The memory and the speed of one accelerator.

    Attributes:
        flops: bfloat16 operations per second of matrix products, without sparsity.
        float32: float32 operations per second of matrix products of JAX's default precision.
        highest: float32 operations per second of matrix products of the precision HIGHEST.
        memory: Memory in bytes.
        bandwidth: Memory bandwidth in bytes per second.
        interconnect: Bytes per second that the chip can send over all of its links while it
            receives as many. This is half of the bidirectional bandwidth in data sheets.
        kind: Words of JAX's name for such a device, which no other device has.
        share: Fraction of the memory that JAX uses.
    """

    flops: float
    float32: float
    highest: float
    memory: float
    bandwidth: float
    interconnect: float
    kind: str = ""
    share: float = 1.0


def _tpu(flops: float, memory: float, bandwidth: float, interconnect: float, kind: str) -> Chip:
    # A TPU multiplies bfloat16 numbers: one pass for a float32 product of the default precision,
    # six for one of the precision HIGHEST.
    return Chip(flops, flops, flops / 6, memory, bandwidth, interconnect, kind)


def _gpu(
    flops: float,
    float32: float,
    highest: float,
    memory: float,
    bandwidth: float,
    interconnect: float,
    kind: str,
) -> Chip:
    # JAX reserves three quarters of a GPU's memory.
    return Chip(flops, float32, highest, memory, bandwidth, interconnect, kind, share=0.75)


# Sources. TPU: the tables "Key chip specifications" of cloud.google.com/tpu/docs/v5e, /v5p and
# /v6e: peak compute per chip (bf16), HBM capacity, HBM bandwidth, and interchip interconnect
# bandwidth (1,600, 4,800 and 3,200 Gbps, divided by 8). v4 is missing because libtpu's v4 devices
# are half chips. GPU: NVIDIA's data sheets of the SXM modules and of the cards: bfloat16, TF32 and
# float32 without sparsity; the memory that the driver reports, which is less than the nominal one;
# the interconnect is NVLink or, for cards, PCI Express 4.0 x16.
CHIPS = {
    "v5e": _tpu(197e12, 16 * 2**30, 819e9, 200e9, "TPU v5 lite"),
    "v5p": _tpu(459e12, 95 * 2**30, 2765e9, 600e9, "TPU v5p"),
    "v6e": _tpu(918e12, 32 * 2**30, 1640e9, 400e9, "TPU v6 lite"),
    "a100": _gpu(312e12, 156e12, 19.5e12, 79.3 * 2**30, 2039e9, 300e9, "A100-SXM4-80GB"),
    "h100": _gpu(989e12, 494.5e12, 67e12, 79.1 * 2**30, 3350e9, 450e9, "H100 80GB HBM3"),
    "h200": _gpu(989e12, 494.5e12, 67e12, 141 * 2**30, 4800e9, 450e9, "H200"),
    "l40s": _gpu(362e12, 183e12, 91.6e12, 44.4 * 2**30, 864e9, 32e9, "L40S"),
    "rtx4090": _gpu(165e12, 82.6e12, 82.6e12, 23.6 * 2**30, 1008e9, 32e9, "RTX 4090"),
}


def find(device_kind: str) -> Chip | None:
    """Looks up the data sheet of a device.

    Args:
        device_kind: JAX's name for the device, such as "NVIDIA H100 80GB HBM3".

    Returns:
        The data sheet; None if the device is not in the table.
    """
    for chip in CHIPS.values():
        if chip.kind in device_kind:
            return chip
    return None
