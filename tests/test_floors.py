"""The house and its floors: an import points only downwards.

Read this first. FLOORS says which modules there are and who may know whom: a module may import
what stands on its own floor or below it, never above. The edges, where files and screens are, do
not even know each other. Whatever an import statement says, in a function too, counts.
"""

import ast
import pathlib
import subprocess
import sys

import pytest

FLOORS = {  # from the roof to the ground
    "program": "__main__ main arguments train loop finish run reporting embed export evaluate bench preview lowering assemble inputs build checks views sections told saved config",
    "edges": "data checkpoint evaluation encoder report plan runtime hosts",
    "engine": "train_state train_step accumulate probe",
    "methods": "methods",
    "parts": "networks optimizers",
    "arrays": "losses log_sum_exp ema ring_buffer memory_bank augment randomness metrics collectives",
}

RESERVED = {  # a library, or a function of one, and the only places that may name it
    "flax.linen": "networks",
    "jax.pmap": "train_step",
    "ml_collections": FLOORS["program"],
}

GROUND = {"jax", "chex", "optax"} | sys.stdlib_module_names  # all that the arrays floor needs

HEAVY = "flax orbax grain ml_collections tensorflow_datasets tensorflow"

PACKAGE = pathlib.Path(__file__).parents[1] / "byol_jax"
FILES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))
FLOOR_OF = {module: floor for floor, modules in FLOORS.items() for module in modules.split()}
HEIGHT = {floor: height for height, floor in enumerate(reversed(FLOORS))}


def _module(file):
    """The word of FLOORS that a file belongs to: evaluation/knn.py is evaluation."""
    return pathlib.Path(file).parts[0].removesuffix(".py")


def _named(file):
    """All that a file imports, and every attribute of jax it reads, as dotted names."""
    for node in ast.walk(ast.parse((PACKAGE / file).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: write the import out, from byol_jax import ..."
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "jax":
            yield f"jax.{node.attr}"


def _neighbours(file):
    """The other modules of the house that a file imports."""
    inside = {name.split(".")[1] for name in _named(file) if name.startswith("byol_jax.")}
    return sorted(inside - {_module(file), "__version__"})


def test_every_module_stands_on_a_floor():
    homeless = {_module(file) for file in FILES} - {"__init__"} - set(FLOOR_OF)
    assert not homeless, (
        f"{sorted(homeless)} of byol_jax/ stand on no floor: add each to the line of FLOORS in "
        "tests/test_floors.py where it belongs, on the lowest floor that suits it."
    )


@pytest.mark.parametrize("file", FILES)
def test_an_import_points_only_downwards(file):
    own = FLOOR_OF.get(_module(file), "arrays")  # the front door, __init__, is as light as arrays
    for other in _neighbours(file):
        floor = FLOOR_OF.get(other)
        assert floor, f"{file} imports {other}, which FLOORS in tests/test_floors.py does not have"
        assert HEIGHT[floor] <= HEIGHT[own], f"{file} ({own}) imports {other}, above it ({floor})"
        assert own != "edges" or floor != "edges", f"{file} imports {other}: both are edges"


@pytest.mark.parametrize("file", FILES)
def test_a_reserved_name_stays_in_its_place(file):
    for name in _named(file):
        for reserved, places in RESERVED.items():
            if f"{name}.".startswith(f"{reserved}."):
                assert _module(file) in places.split(), f"{file} may not name {reserved}"


@pytest.mark.parametrize("file", [f for f in FILES if FLOOR_OF.get(_module(f)) == "arrays"])
def test_the_arrays_floor_imports_jax_chex_and_optax_alone(file):
    libraries = {name.split(".")[0] for name in _named(file)} - {"byol_jax"}
    assert libraries <= GROUND, f"{file} imports {sorted(libraries - GROUND)}"


def test_whoever_imports_arrays_loads_nothing_heavy():
    present = sorted({_module(f) for f in FILES} & set(FLOORS["arrays"].split()))
    code = f"""if True:
        import importlib, sys
        for name in {present}:
            importlib.import_module("byol_jax." + name)
            heavy = sorted(set({HEAVY.split()}) & set(sys.modules))
            if heavy:
                sys.exit(f"byol_jax.{{name}} loads {{heavy}}")"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
