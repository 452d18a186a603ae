"""The command line, `python -m byol_jax COMMAND`; byol_jax/commands has one module per command."""

import importlib
import sys
import types
from collections.abc import Sequence

import byol_jax
from byol_jax import errors
from byol_jax.commands import COMMANDS, MODULES, arguments
from byol_jax.system import xla


def run(argv: Sequence[str] | None = None) -> None:
    """Runs a command line, and exits the process with the command's exit code.

    The exit code is 0 after success, 1 after an error, 2 for an invalid command line, or the
    command's own code. After --help or --version, the function returns instead.

    Args:
        argv: The arguments after the program's name; by default those of this process.
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
        sys.exit(_usage_error("no command given"))
    name = argv[0]
    if name not in COMMANDS:
        near = arguments.near(name, COMMANDS)
        sys.exit(_usage_error(f"unknown command {errors.one_line(name)!r}{near}"))
    return name


def _usage_error(problem: str) -> int:
    names = ", ".join(COMMANDS)
    print(f"byol_jax: {problem}; the commands are {names}.", file=sys.stderr)
    print(f"See {arguments.PROGRAM} --help", file=sys.stderr)
    return 2


def _call(name: str, argv: Sequence[str]) -> int | str | None:
    """Runs a command; returns its exit code, or the message of a user error."""
    xla.prefer_fast_cpu()  # before the command's module loads JAX, which reads the setting
    module = load(name)
    parser = arguments.Parser(name, summary=COMMANDS[name], example=module.EXAMPLE)
    module.add_arguments(parser)
    flags = parser.parse(argv)
    _set_log_level(flags.verbosity)
    try:
        return module.run(flags)
    except (errors.UserError, OSError) as error:
        return f"byol_jax: {error}"


def load(name: str) -> types.ModuleType:
    """Imports the module of a command.

    Args:
        name: The command's name, a key of commands.COMMANDS.

    Returns:
        The module, with EXAMPLE, add_arguments and run.
    """
    return importlib.import_module(f"byol_jax.commands.{MODULES.get(name, name)}")


def _set_log_level(verbosity: int) -> None:
    """Sets absl's log level. At absl's default level, Orbax logs every file that it writes."""
    from absl import logging

    logging.set_verbosity(verbosity)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items())
    return (
        "Self-supervised image features in pure JAX.\n\n"
        f"usage: {arguments.PROGRAM} COMMAND [--flag=value …]\n\n"
        f"commands:\n{commands}\n\n"
        f"Show a command's flags and an example:  {arguments.PROGRAM} COMMAND --help\n"
        f"Show the version:                       {arguments.PROGRAM} --version"
    )
