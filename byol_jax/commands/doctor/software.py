"""Checks of the installed packages: are they there, and do their versions fit together?"""

import importlib.metadata
import platform
import re
from collections.abc import Iterator

from packaging.requirements import Requirement

from byol_jax.commands.doctor.findings import PROBLEM, WARNING, Finding
from byol_jax.system import version

_SHOWN = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
_PLUGINS = re.compile(r"(jax-cuda\d+-(plugin|pjrt)|libtpu)$")


def check() -> Iterator[Finding]:
    """Checks the packages.

    Yields:
        The versions of the program, and a finding for each package that does not fit.
    """
    own = importlib.metadata.version("byol_jax")
    yield Finding("byol_jax", f"{own} ({version.commit()})")
    system = f"{platform.system()} {platform.machine()}"
    yield Finding("Python", f"{platform.python_version()} on {system}")
    plugins = sorted(
        name
        for distribution in importlib.metadata.distributions()
        if _PLUGINS.match(name := distribution.metadata["Name"] or "")
    )
    versions = [f"{name} {_version(name) or 'missing'}" for name in (*_SHOWN, *plugins)]
    yield Finding("packages", ", ".join(versions))
    yield from _misfits()


def _misfits() -> Iterator[Finding]:
    """Yields a finding for each requirement of byol_jax or JAX that an installed package breaks."""
    for owner in ("byol_jax", "jax"):
        for text in importlib.metadata.requires(owner) or []:
            requirement = Requirement(text)
            extra = _extra(text)
            is_plugin = _PLUGINS.match(requirement.name) is not None
            if not _applies(requirement, extra) or (owner == "jax" and extra and not is_plugin):
                continue
            installed = _version(requirement.name)
            wanted = f"{owner} needs {requirement.name}{requirement.specifier}"
            if installed is None and extra is None:
                advice = f"run pip install '{requirement.name}{requirement.specifier}'"
                yield Finding(requirement.name, f"missing; {wanted}", PROBLEM, advice)
            elif installed and not requirement.specifier.contains(installed, prereleases=True):
                advice = f"run pip install '{requirement.name}{requirement.specifier}'"
                verdict = PROBLEM if extra is None or is_plugin else WARNING
                where = "" if extra is None else f" for its extra {extra}"
                yield Finding(requirement.name, f"{installed}; {wanted}{where}", verdict, advice)


def _extra(text: str) -> str | None:
    match = re.search(r"extra == [\"']([\w-]+)[\"']", text)
    return match.group(1) if match else None


def _applies(requirement: Requirement, extra: str | None) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra or ""})


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
