"""The command line: python -m byol_jax COMMAND; each command is a file of byol_jax.commands."""

import importlib
import sys
import types
from collections.abc import Sequence

import byol_jax
from byol_jax import errors
from byol_jax.commands import COMMANDS, MODULES, arguments
from byol_jax.system import xla


def run(argv: Sequence[str] | None = None) -> None:
    """The console script.

    Exits with 0, with 1 after an error, with 2 for a wrong command line, or with the command's own
    code.

    Args:
        argv: the arguments after the program's name; those of this process by default.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv[:1] == ["help"]:
        argv = [*argv[1:], "--help"]
    if argv and argv[0] in ("-h", "--help"):
        print(_overview())
        return
    if argv and argv[0] == "--version":
        print(f"byol_jax {byol_jax.__version__}")
        return
    sys.exit(_call(_command(argv), argv[1:]))


def _command(argv: Sequence[str]) -> str:
    if not argv:
        sys.exit(_usage_error("a command is missing; it is one of"))
    name = argv[0]
    if name not in COMMANDS:
        near = arguments.near(name, COMMANDS)
        sys.exit(_usage_error(f"unknown command {errors.one_line(name)!r}{near}; it is one of"))
    return name


def _usage_error(text: str) -> int:
    print(f"byol_jax: {text} {', '.join(COMMANDS)}.", file=sys.stderr)
    print(f"See {arguments.PROGRAM} --help", file=sys.stderr)
    return 2


def _call(name: str, argv: Sequence[str]) -> int | str | None:
    """Runs a command; the exit code, or the message of a user's mistake."""
    xla.prefer_fast_cpu()
    module = load(name)
    parser = arguments.Parser(name, summary=COMMANDS[name], example=module.EXAMPLE)
    module.add_arguments(parser)
    flags = parser.parse(argv)
    _quiet_libraries(flags.verbosity)
    try:
        return module.run(flags)
    except (errors.UserError, OSError) as error:
        return f"byol_jax: {error}"


def load(name: str) -> types.ModuleType:
    """The module of a command."""
    return importlib.import_module(f"byol_jax.commands.{MODULES.get(name, name)}")


def _quiet_libraries(verbosity: int) -> None:
    """Sets absl's log level; at its own default Orbax logs every file that it writes."""
    from absl import logging

    logging.set_verbosity(verbosity)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items())
    return (
        "Self-supervised image features in pure JAX.\n\n"
        f"usage: {arguments.PROGRAM} COMMAND [--flag=value …]\n\n{commands}\n\n"
        f"Flags and an example of a command: {arguments.PROGRAM} COMMAND --help\n"
        f"The version: {arguments.PROGRAM} --version"
    )
