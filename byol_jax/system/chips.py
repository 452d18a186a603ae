"""The data sheets of accelerators: their speed and their memory."""

from typing import NamedTuple


class Chip(NamedTuple):
    """The memory and the speed of one accelerator.

    Attributes:
        flops: bfloat16 operations per second of matrix products, without sparsity.
        memory: Memory in bytes.
        bandwidth: Memory bandwidth in bytes per second.
        interconnect: Bytes per second that the chip can send over all of its links while it
            receives as many. This is half of the bidirectional bandwidth in data sheets.
        kind: Words of JAX's name for such a device, which no other device has.
    """

    flops: float
    memory: float
    bandwidth: float
    interconnect: float
    kind: str = ""


# Sources. TPU: the tables "Key chip specifications" of cloud.google.com/tpu/docs/v5e, /v5p and
# /v6e: peak compute per chip (bf16), HBM capacity, HBM bandwidth, and interchip interconnect
# bandwidth (1,600, 4,800 and 3,200 Gbps, divided by 8). v4 is missing because libtpu's v4 devices
# are half chips. GPU: NVIDIA's data sheets of the SXM modules and of the cards; the interconnect is
# NVLink or, for cards, PCI Express 4.0 x16.
CHIPS = {
    "v5e": Chip(197e12, 16 * 2**30, 819e9, 200e9, "TPU v5 lite"),
    "v5p": Chip(459e12, 95 * 2**30, 2765e9, 600e9, "TPU v5p"),
    "v6e": Chip(918e12, 32 * 2**30, 1640e9, 400e9, "TPU v6 lite"),
    "a100": Chip(312e12, 80e9, 2039e9, 300e9, "A100-SXM4-80GB"),
    "h100": Chip(989e12, 80e9, 3350e9, 450e9, "H100 80GB HBM3"),
    "h200": Chip(989e12, 141e9, 4800e9, 450e9, "H200"),
    "l40s": Chip(362e12, 48e9, 864e9, 32e9, "L40S"),
    "rtx4090": Chip(165e12, 24e9, 1008e9, 32e9, "RTX 4090"),
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
