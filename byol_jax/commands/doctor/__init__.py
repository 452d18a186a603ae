"""The command `doctor`: check whether this machine can train, and how fast it is."""

import argparse
from collections.abc import Iterator

from byol_jax.commands import arguments
from byol_jax.commands.doctor import accelerators, decoding, findings, software, storage

EXAMPLE = "doctor --workdir=runs/mine --data=data/mine"


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `doctor`."""
    parser.add_argument(
        "--workdir",
        metavar="FOLDER",
        help="also measure how fast this folder is written and read, and how much space is free",
    )
    parser.add_argument(
        "--data", metavar="FOLDER", help="also measure how fast the files of this data set are read"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_cluster()


def run(flags: argparse.Namespace) -> int:
    """Prints the findings; returns 1 if one of them would stop a run, else 0."""
    if arguments.is_distributed(flags):
        from byol_jax import hosts

        place = hosts.find(flags.coordinator, flags.num_processes, flags.process_id)
        hosts.connect(place, {}, timeout=flags.timeout)
    found = list(_examine(flags.workdir, flags.data))
    if _is_first_process():
        print(findings.as_json(found) if flags.json else findings.page(found))
    return int(any(finding.verdict == findings.PROBLEM for finding in found))


def _examine(workdir: str | None, folder: str | None) -> Iterator[findings.Finding]:
    yield from software.check()
    yield from storage.check_limits()
    found, devices = accelerators.check_devices()
    yield from found
    if devices:
        yield from accelerators.check_memory(devices[0])
        rates, flops = accelerators.check_rates(devices[0])
        yield from rates
        yield from accelerators.check_collectives(devices)
        yield from decoding.check(flops * len(devices))
    if workdir is not None:
        yield from storage.check_workdir(workdir)
    if folder is not None:
        yield from storage.check_data(folder)


def _is_first_process() -> bool:
    import jax

    try:
        return jax.process_index() == 0
    except RuntimeError:  # JAX has no devices, which is one of the findings
        return True
