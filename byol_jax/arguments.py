"""What a command line leaves out: where a config is, and that a finished run has its own."""

import sys
from pathlib import Path

_OF_RUNS = ("evaluate", "export")  # commands on a finished run, whose config is in its workdir


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
    if not set(_OF_RUNS) & set(arguments[:1]) or "config" in given or "--config" in arguments:
        return arguments
    if "workdir" not in given and "encoder" not in given:
        return arguments
    workdir = "" if "encoder" in given else given["workdir"]
    if workdir and not Path(workdir, "config.json").expanduser().is_file():
        sys.exit(f"byol_jax: {workdir} has no config.json; give the --workdir of a run.")
    file = Path(__file__).with_name("saved.py")
    return [arguments[0], f"--config={file}:{workdir}", *arguments[1:]]
