"""The parser of command-line flags, and the loading of the config that the flags select."""

import argparse
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from ml_collections import ConfigDict

from byol_jax import errors

PROGRAM = "python -m byol_jax"
INTERRUPTED = "interrupted; run the same command to resume."


class Parser(argparse.ArgumentParser):
    """The flag parser of one command.

    An invalid command line prints at most two lines and exits with code 2.

    Args:
        command: The command's name, such as "train".
        summary: What the command does, as in commands.COMMANDS.
        example: An example command line, without the program's name.
    """

    def __init__(self, command: str, *, summary: str, example: str):
        super().__init__(
            prog=f"{PROGRAM} {command}",
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"example:\n  {PROGRAM} {example}",
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        self.command = command
        self._required: list[str] = []
        self._one_of: list[str] = []
        self.add_argument(
            "--verbosity",
            type=int,
            default=-1,
            metavar="LEVEL",
            help="log level of the libraries that log with absl, such as Orbax: -1 for warnings, "
            "0 for information, 1 for debug messages",
        )

    def add_config(self, description: str = "config file", *, required: bool = True) -> None:
        """Adds the flags --config and --config.FIELD.

        Args:
            description: The help text of --config.
            required: Whether the command cannot run without --config.
        """
        self.add_argument(
            "--config",
            metavar="FILE.py[:ARGUMENT]",
            help=f"{description}; ARGUMENT is passed to the get_config function of the file",
        )
        self.add_argument(
            "--config.FIELD",
            metavar="VALUE",
            dest="overrides",
            help="set a field of the config, as in --config.optimizer.weight_decay=1e-4; can be "
            "given several times; byol_jax/config/fields.py lists the fields",
        )
        if required:
            self.require("config")

    def add_cluster(self) -> None:
        """Adds the flags of a run with several processes."""
        several = self.add_argument_group("several processes")
        several.add_argument(
            "--distributed",
            action="store_true",
            help="read --coordinator, --num_processes and --process_id from the environment of "
            "SLURM, Cloud TPU, GKE or Open MPI",
        )
        several.add_argument(
            "--coordinator", metavar="HOST:PORT", help="address at which process 0 listens"
        )
        several.add_argument(
            "--num_processes", type=int, metavar="N", help="number of processes of this run"
        )
        several.add_argument(
            "--process_id",
            type=int,
            metavar="I",
            help="number of this process, from 0 to num_processes - 1",
        )
        several.add_argument(
            "--timeout",
            type=int,
            default=300,
            metavar="SECONDS",
            help="time to wait for the other processes at the start",
        )

    def require(self, *names: str) -> None:
        """Makes flags required and marks them as required in the help text.

        Args:
            *names: Names of flags, without the leading dashes.
        """
        self._required += names
        self._add_help(names, "required")

    def require_one(self, *names: str) -> None:
        """Makes exactly one of several flags required and says so in the help text.

        Args:
            *names: Names of flags, without the leading dashes.
        """
        self._one_of = list(names)
        flags = " or ".join(f"--{name}" for name in names)
        self._add_help(names, f"either {flags} is required")

    def _add_help(self, names: Sequence[str], text: str) -> None:
        for action in self._actions:
            if action.dest in names:
                action.help = f"{action.help} ({text})"

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parses a command line and checks that the required flags are present.

        Args:
            argv: The words after the command's name.

        Returns:
            The values of the flags. `overrides` has one pair (dotted field name, text of the
            value) per --config.FIELD flag.
        """
        words, overrides = _split_overrides(argv)
        namespace, unknown = self.parse_known_args(words)
        if overrides and not hasattr(namespace, "overrides"):
            field, _ = overrides[0]
            self.error(f"{self.command} has no flag --config.{field}")
        namespace.overrides = overrides
        if unknown:
            self._refuse(unknown[0])
        missing = [f"--{name}" for name in self._required if getattr(namespace, name) is None]
        if missing:
            self.error(f"{self.command} needs {' and '.join(missing)}")
        if self._one_of:
            present = [name for name in self._one_of if getattr(namespace, name) is not None]
            if len(present) != 1:
                names = " or ".join(f"--{name}" for name in self._one_of)
                self.error(f"{self.command} needs either {names}, but not both")
        return namespace

    def error(self, message: str) -> NoReturn:
        """Prints an error and a pointer to the help text, and exits with code 2.

        Args:
            message: What is wrong with the command line.
        """
        message = errors.one_line(message).rstrip(".")
        end = "" if message.endswith("?") else "."
        self.exit(2, f"byol_jax: {message}{end}\nSee {self.prog} --help\n")

    def _refuse(self, word: str) -> NoReturn:
        """Reports an argument that the command does not accept, and suggests the nearest flag."""
        flags = [flag for action in self._actions for flag in action.option_strings]
        flag = word.partition("=")[0]
        if not flag.startswith("-"):
            hint = _suggest_flag(word, flags)
            self.error(f"{self.command} does not accept {errors.one_line(word)!r}{hint}")
        hint = near(flag, flags)
        if "--config" in flags and flag.lstrip("-") in _config_fields():
            hint = f" (did you mean --config.{flag.lstrip('-')}?)"
        accepted = ", ".join(sorted(flag for flag in flags if flag.startswith("--")))
        self.error(
            f"{self.command} has no flag {errors.one_line(flag)}{hint}; its flags are {accepted}"
        )


def _config_fields() -> Iterable[str]:
    from byol_jax.config import fields

    return fields.default()


def _suggest_flag(word: str, flags: Sequence[str]) -> str:
    """Returns a text that suggests the nearest flag, to be appended to an unknown-flag error."""
    flag = "--config" if word.endswith(".py") else "--workdir"
    if flag in flags:
        return f"; did you mean {flag}={errors.one_line(word)}?"
    return "; write flags as --name=value"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """A help formatter that shows the default of a flag unless it is None or False."""

    def _get_help_string(self, action):
        if action.default in (None, False, argparse.SUPPRESS) or not action.option_strings:
            return action.help
        return f"{action.help} (default: %(default)s)"


def choice(*choices: str) -> Callable[[str], str]:
    """Makes a function for argparse's `type` that accepts only certain words.

    For another word, the error message suggests the nearest one.

    Args:
        *choices: The accepted words.

    Returns:
        A function that returns its argument unchanged if it is one of the words.
    """

    def parse(text: str) -> str:
        if text not in choices:
            names = ", ".join(choices)
            raise argparse.ArgumentTypeError(
                f"{errors.one_line(text)!r} is not one of {names}{near(text, choices)}"
            )
        return text

    return parse


def near(word: str, choices: Iterable[str]) -> str:
    """Returns a suggestion for a misspelled word, such as " (did you mean --out?)".

    Args:
        word: A word of a command line, possibly misspelled.
        choices: The correct words.

    Returns:
        A text to append to an error message; empty if no word is near.
    """
    return errors.near(word, choices, quoted=False)


def is_distributed(flags: argparse.Namespace) -> bool:
    """Returns whether the flags of `Parser.add_cluster` describe a run with several processes.

    Args:
        flags: The parsed flags.

    Returns:
        True if one of them is present.
    """
    places = (flags.coordinator, flags.num_processes, flags.process_id)
    return flags.distributed or places != (None, None, None)


def load_config(flags: argparse.Namespace) -> ConfigDict:
    """Loads the config of a command and applies the --config.FIELD flags to it.

    The config comes from the file of --config if given; otherwise from the defaults with --encoder,
    or from the run in --workdir.

    Args:
        flags: The parsed flags of a command that has --config.

    Returns:
        The config of the experiment.

    Raises:
        UserError: The config file fails, or a --config.FIELD flag names an unknown field or has a
            value of the wrong type.
    """
    # Imported here because these modules load JAX, which --help must not wait for.
    from byol_jax.config import fields, load, overrides, saved

    if flags.config is not None:
        config = load.load(flags.config)
    elif getattr(flags, "encoder", None) is not None:
        config = fields.default()
    else:
        config = saved.load(flags.workdir)
    for note in overrides.apply(config, flags.overrides):
        print(note)
    return config


def escape_unprintable() -> None:
    """Makes print() replace characters that the terminal cannot show, say those in file names."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _split_overrides(argv: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Separates the --config.FIELD=VALUE flags of a command line from its other words.

    Returns the other words and the pairs (FIELD, VALUE). VALUE is the text after "=", or else the
    next word. If both are missing, VALUE is "True"; for --noconfig.FIELD it is "False".
    """
    others = []
    overrides = []
    words = list(argv)
    while words:
        word = words.pop(0)
        flag, has_value, value = word.partition("=")
        if flag.startswith("--noconfig."):
            overrides.append((flag.removeprefix("--noconfig."), "False"))
        elif flag.startswith("--config."):
            if not has_value:
                value = words.pop(0) if words and not words[0].startswith("--") else "True"
            overrides.append((flag.removeprefix("--config."), value))
        else:
            others.append(word)
    return others, overrides
