"""Writes the reference pages that come from the program: its commands, and a config's fields."""

import os
import pathlib

from byol_jax import main
from byol_jax.commands import COMMANDS, arguments
from byol_jax.config import fields

_WIDTH = "88"  # columns of a help text


def write(folder: pathlib.Path) -> None:
    """Writes commands.md and config.md into the folder."""
    (folder / "commands.md").write_text(commands(), encoding="utf-8")
    (folder / "config.md").write_text(config(), encoding="utf-8")


def commands() -> str:
    """A section per command with its --help."""
    os.environ["COLUMNS"] = _WIDTH  # argparse reads the width from it
    parts = [
        "# Commands",
        "Each section is the output of `python -m byol_jax COMMAND --help`.",
    ]
    for name, summary in COMMANDS.items():
        module = main.load(name)
        parser = arguments.Parser(name, summary=summary, example=module.EXAMPLE)
        module.add_arguments(parser)
        parts += [f"## {name}", f"```text\n{parser.format_help().rstrip()}\n```"]
    return "\n\n".join(parts) + "\n"


def config() -> str:
    """A table per section of the config, with each field's type, default and description."""
    parts = [
        "# Config fields",
        "Each field is a flag, `--config.FIELD=VALUE`. A section that selects a function by its "
        "name also takes the function's arguments as fields; the pages about "
        "[networks](api/networks.md), [methods](api/methods.md), [training](api/training.md) and "
        "[augmentation](api/augment.md) describe them.",
        "The following fields may change when a run resumes; any other change is refused: "
        + ", ".join(f"`{name}`" for name in fields.FREE)
        + ".",
    ]
    sections = dict.fromkeys(_section(path) for path in fields.FIELDS)
    for section in sections:
        inside = {p: f for p, f in fields.FIELDS.items() if _section(p) == section}
        parts.append(f"## {section or 'General'}")
        if section in inside:
            parts.append(inside.pop(section).description)
        if inside:
            parts.append(_table(inside))
    return "\n\n".join(parts) + "\n"


def _section(path: str) -> str:
    """The first name of a dotted field, if it is a section; "" for a field of its own."""
    first = path.partition(".")[0]
    return first if fields.FIELDS[first].type is dict else ""


def _table(rows: dict[str, fields.Field]) -> str:
    lines = ["| field | type | default | description |", "|---|---|---|---|"]
    for path, field in rows.items():
        kind = "section" if field.type is dict else field.type.__name__
        is_empty = field.default is fields.ABSENT or field.type is dict
        default = "" if is_empty else f"`{field.default!r}`"
        lines.append(f"| `{path}` | {kind} | {default} | {field.description} |")
    return "\n".join(lines)
