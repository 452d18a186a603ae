"""What a command line leaves out, and what is wrong with one, told without a traceback."""

import contextlib
import sys
import traceback
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from byol_jax import sections, told

OF_RUNS = ("evaluate", "export")  # commands on a finished run, whose config is in its workdir


def complete(given: list[str]) -> list[str]:
    """The arguments that follow the program's name, with what they mean written out.

    Exits, saying so, where a command is to work on a run and there has been none.
    """
    return with_saved_config([find_config(argument) for argument in given])


def find_config(argument: str) -> str:
    """A --config argument that names no file here, but one that came with the package, names that.

    So `--config=configs/quickstart.py` works outside a clone too. Others stay as they are.
    """
    flag, _, path = argument.partition("=")
    installed = Path(__file__).parent / path.split(":")[0]
    if flag != "--config" or Path(path.split(":")[0]).exists() or not installed.exists():
        return argument
    return f"{flag}={Path(__file__).parent / path}"


def with_saved_config(arguments: list[str]) -> list[str]:
    """The arguments, and, where a command works on a finished run, the config of its workdir."""
    given = dict(argument.lstrip("-").split("=", 1) for argument in arguments if "=" in argument)
    if not set(OF_RUNS) & set(arguments[:1]) or "config" in given or "--config" in arguments:
        return arguments
    if "workdir" not in given and "encoder" not in given:
        return arguments
    workdir = "" if "encoder" in given else given["workdir"]
    if workdir and not Path(workdir, "config.json").expanduser().is_file():
        sys.exit(f"byol_jax: {workdir} has no config.json; give the --workdir of a run.")
    file = Path(__file__).with_name("saved.py")
    return [arguments[0], f"--config={file}:{workdir}", *arguments[1:]]


def parse(argv: list[str]) -> list[str]:
    """What is left of argv when its flags are parsed.

    Exits, naming the flag, where one is unknown or wrong, and the line where a config file fails.
    """
    try:
        rest = flags.FLAGS(argv)
        config = flags.FLAGS["config"].value
        if config is not None and not isinstance(config, ConfigDict):
            _ = config["name"]  # of a file that cannot be read, this raises why
            raise ValueError("--config names a file whose get_config() gives no ConfigDict.")
    except flags.Error as error:
        sys.exit(f"byol_jax: {_without_traceback(str(error))}")
    except Exception as error:  # of a config file, or of what there is to override in it
        what = _unknown_field(argv) or told.brief(error)
        raise SystemExit(f"byol_jax: {_place(error)}{what}") from error
    return rest


def _without_traceback(text):
    """A flag's error; of one within a config file its last words, and its last line of code."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    places = [line for line in lines if line.startswith('File "')]
    places = [place for place in places if "ml_collections" not in place]
    if "Traceback" not in text:
        return told.brief(text)
    return told.brief(" ".join([lines[0], lines[-1], *places[-1:]]))


def _place(error):
    """Where a config file failed, if one did."""
    frames = traceback.extract_tb(error.__traceback__)
    steps = [f for f in frames if f.name == "get_config" or f.filename.endswith("configs")]
    name = type(error).__name__
    return f"{steps[-1].filename}, line {steps[-1].lineno}: {name}: " if steps else ""


def _unknown_field(argv) -> str | None:
    """What to say of the first --config.field that its config file does not have."""
    files = [word.partition("=")[2] for word in argv if word.startswith("--config=")]
    if not files:
        return None
    with contextlib.suppress(Exception):  # of the file, which the caller tells
        config = config_flags.config_flags.ConfigFileFlagParser("config").parse(files[-1])
        return _first_unknown(config, argv)
    return None


def _first_unknown(config, argv) -> str | None:
    for word in argv:
        path = word.partition("=")[0].lstrip("-").removeprefix("no")
        if path.startswith("config."):
            told_of = _missing(config, path.removeprefix("config.").split("."))
            if told_of:
                return told_of
    return None


def _missing(config, names) -> str | None:
    path = "config"
    for name in names:
        if not isinstance(config, ConfigDict):
            return f"--{path}.{name}: {path} is no section, but {config!r}."
        if name not in config:
            near = sections.near(name, config)
            return f"--{path}.{name}: {path} has no {name!r}{near}; it has {', '.join(config)}."
        config, path = config[name], f"{path}.{name}"
    return None
