"""What the commands share: their parser, and the config that their flags name and change."""

import argparse
from collections.abc import Callable, Iterable, Sequence

from ml_collections import ConfigDict

from byol_jax import errors

PROGRAM = "python -m byol_jax"


class Parser(argparse.ArgumentParser):
    """The parser of one command; a wrong command line ends in at most two lines, and exit code 2."""

    def __init__(self, command: str, *, summary: str, example: str):
        super().__init__(
            prog=f"{PROGRAM} {command}",
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"example:\n  {PROGRAM} {example}",
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        self.command = command
        self._required, self._one_of = [], []
        self.add_argument(
            "--verbosity",
            type=int,
            default=-1,
            metavar="N",
            help="log level of libraries: -1 warnings, 0 information, 1 all",
        )

    def add_config(self, what: str = "config file", *, required: bool = True) -> None:
        """Adds --config and --config.FIELD."""
        self.add_argument("--config", metavar="FILE.py[:ARGUMENT]", help=what, required=False)
        self.add_argument(
            "--config.FIELD",
            metavar="VALUE",
            dest="overrides",
            help="change a field of the config, as --config.optimizer.weight_decay=1e-4; "
            "byol_jax/config/fields.py lists them",
        )
        if required:
            self.require("config")

    def require(self, *names: str) -> None:
        """Makes flags required, and says so in their help."""
        self._required += names
        self._add_help(names, "required")

    def require_one(self, *names: str) -> None:
        """Makes exactly one of several flags required, and says so in their help."""
        self._one_of = list(names)
        self._add_help(names, f"one of {' and '.join(f'--{name}' for name in names)} is required")

    def _add_help(self, names: Sequence[str], text: str) -> None:
        for action in self._actions:
            if action.dest in names:
                action.help = f"{action.help} ({text})"

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """The arguments of a command line; `overrides` are pairs of a dotted name and a text."""
        rest, overrides = _split_overrides(argv)
        namespace, unknown = self.parse_known_args(rest)
        if overrides and not hasattr(namespace, "overrides"):
            self.error(f"{self.command} takes no --config.{overrides[0][0]}")
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
                self.error(f"{self.command} needs {names}, one of them")
        return namespace

    def error(self, message: str) -> None:
        """Prints what is wrong and where to look, and exits with 2."""
        message = errors.one_line(message).rstrip(".")
        end = "" if message.endswith("?") else "."
        self.exit(2, f"byol_jax: {message}{end}\nSee {self.prog} --help\n")

    def _refuse(self, word: str) -> None:
        """An argument that the command does not take; names the nearest flag."""
        flags = [flag for action in self._actions for flag in action.option_strings]
        flag = word.partition("=")[0]
        if not flag.startswith("-"):
            self.error(f"{self.command} takes no {errors.one_line(word)!r}{_flag_for(word, flags)}")
        long = sorted(flag for flag in flags if flag.startswith("--"))
        hint = near(flag, flags)
        if "--config" in flags and flag.lstrip("-") in _config_fields():
            hint = f" (did you mean --config.{flag.lstrip('-')}?)"
        self.error(
            f"{self.command} takes no {errors.one_line(flag)}{hint}; it takes {', '.join(long)}"
        )


def _config_fields() -> Iterable[str]:
    from byol_jax.config import fields

    return fields.default()


def _flag_for(word: str, flags: Sequence[str]) -> str:
    """What an error adds for a word without a flag: the flag that was probably meant."""
    meant = "--config" if word.endswith(".py") else "--workdir"
    if meant in flags:
        return f"; did you mean {meant}={errors.one_line(word)}?"
    return "; flags are written --name=value"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Shows the defaults that say something."""

    def _get_help_string(self, action):
        if action.default in (None, False, argparse.SUPPRESS) or not action.option_strings:
            return action.help
        return f"{action.help} (default: %(default)s)"


def choice(*known: str) -> Callable[[str], str]:
    """The type of a flag that is one of some words; an error names the nearest."""

    def parse(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(
                f"{errors.one_line(text)!r} is not one of {', '.join(known)}{near(text, known)}"
            )
        return text

    return parse


def near(word: str, known: Iterable[str]) -> str:
    """errors.near without quotes, for words of a command line."""
    return errors.near(word, known, quoted=False)


def load_config(flags: argparse.Namespace) -> ConfigDict:
    """The config of --config, or of the run in --workdir, changed by the --config.FIELD flags.

    With --encoder and without --config, the defaults.

    Raises:
        UserError: for a file that fails, and a field that is unknown or of another type.
    """
    from byol_jax.config import fields, load, overrides, saved  # they load jax, which help need not

    if flags.config is not None:
        config = load.load(flags.config)
    elif getattr(flags, "encoder", None) is not None:
        config = fields.default()
    else:
        config = saved.load(flags.workdir)
    for note in overrides.apply(config, flags.overrides):
        print(note)
    return config


def _split_overrides(argv: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The other arguments, and the --config.FIELD=VALUE as pairs.

    A value may follow as a word of its own. Without one a field is True, and as --noconfig.FIELD
    it is False.
    """
    rest, overrides = [], []
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
            rest.append(word)
    return rest, overrides
