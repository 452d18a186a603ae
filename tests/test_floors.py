"""The floors: an import points only downwards.

Read this first. A name in FLOORS is a folder or a file of byol_jax/. It may import what stands on
its own line or on a line below, never above. Lines marked apart do not import each other either.
Every import statement counts, one inside a function too, but not under `if TYPE_CHECKING:`.
"""

import ast
import pathlib
import subprocess
import sys

import pytest

FLOORS = """
    program     __main__ main
    commands    commands
    training    training
    report      report
    builders    builders
    config      config
    edges       data checkpoint evaluation encoders monitor plan hosts      apart
    system      system workdir
    engine      train_state train_step accumulate probe
    methods     methods
    parts       networks optimizers
    arrays     losses log_sum_exp ema ring_buffer memory_bank augment randomness metrics collectives
    ground      errors explicit pickling
"""
ROWS = [line.split() for line in FLOORS.strip().splitlines()]
HEIGHT = {name: -row for row, (_, *names) in enumerate(ROWS) for name in names}
APART = {name for _, *names in ROWS if names[-1] == "apart" for name in names}
LIGHT = [name for floor, *names in ROWS if floor in ("arrays", "ground") for name in names]
WINGS = "main commands training report builders config"

RESERVED = {  # a library, or a function of one, and the only places that may name it
    "flax.linen": "networks",
    "jax.pmap": "train_step",
    "ml_collections": WINGS,
}

GROUND = {"jax", "chex", "optax"} | sys.stdlib_module_names  # all that the arrays floor needs

HEAVY = "flax orbax grain ml_collections tensorflow_datasets tensorflow"

PACKAGE = pathlib.Path(__file__).parents[1] / "byol_jax"
FILES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


def _module(file):
    """The word of FLOORS that a file belongs to: evaluation/knn.py is evaluation."""
    return pathlib.Path(file).parts[0].removesuffix(".py")


class _RunTime(ast.NodeTransformer):
    """Drops `if TYPE_CHECKING:` blocks: what only a type checker imports does not count."""

    def visit_If(self, node):
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)


def _named(file):
    """All that a file imports, and every attribute of jax it reads, as dotted names."""
    for node in ast.walk(_RunTime().visit(ast.parse((PACKAGE / file).read_text()))):
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
    homeless = {_module(file) for file in FILES} - {"__init__"} - set(HEIGHT)
    assert not homeless, (
        f"{sorted(homeless)} of byol_jax/ stand on no floor: add each to the line of FLOORS in "
        "tests/test_floors.py where it belongs, on the lowest floor that suits it."
    )


@pytest.mark.parametrize("file", FILES)
def test_an_import_points_only_downwards(file):
    own = _module(file)
    height = HEIGHT.get(own, HEIGHT["losses"])  # the front door, __init__, is as light as arrays
    for other in _neighbours(file):
        assert other in HEIGHT, f"{file} imports {other}, which FLOORS does not have"
        assert HEIGHT[other] <= height, f"{file} imports {other}, which stands above {own}"
        assert not {own, other} <= APART, f"{file} imports {other}: both are edges"


def _dotted(file):
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_no_import_circle():
    """Of modules, those in one folder too; imports inside functions do not count."""
    modules = {f"byol_jax.{_dotted(file)}": file for file in FILES if file != "__init__.py"}
    imports = {
        module: {name for name in _imported_at_start(file) if name in modules}
        for module, file in modules.items()
    }
    while leaves := {module for module, others in imports.items() if not others}:
        imports = {m: others - leaves for m, others in imports.items() if m not in leaves}
    assert not imports, f"these import each other: {sorted(imports)}"


def _imported_at_start(file):
    """The modules that a file imports as it loads: the longest dotted names that are files."""
    folder = _dotted(str(pathlib.Path(file).parent / "__init__.py"))
    for node in ast.parse((PACKAGE / file).read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("byol_jax"):
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
                if node.module != f"byol_jax.{folder}":  # its own folder loads it
                    yield node.module


@pytest.mark.parametrize("file", FILES)
def test_a_reserved_name_stays_in_its_place(file):
    for name in _named(file):
        for reserved, places in RESERVED.items():
            if f"{name}.".startswith(f"{reserved}."):
                assert _module(file) in places.split(), f"{file} may not name {reserved}"


@pytest.mark.parametrize("file", [f for f in FILES if _module(f) in LIGHT])
def test_the_arrays_floor_imports_jax_chex_and_optax_alone(file):
    libraries = {name.split(".")[0] for name in _named(file)} - {"byol_jax"}
    assert libraries <= GROUND, f"{file} imports {sorted(libraries - GROUND)}"


def test_whoever_imports_arrays_loads_nothing_heavy():
    present = sorted({_module(f) for f in FILES} & set(LIGHT))
    code = f"""if True:
        import importlib, sys
        for name in {present}:
            importlib.import_module("byol_jax." + name)
            heavy = sorted(set({HEAVY.split()}) & set(sys.modules))
            if heavy:
                sys.exit(f"byol_jax.{{name}} loads {{heavy}}")"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", FILES)
def test_no_assert_statement(file):
    """`python -O` removes them, with what they call."""
    lines = [n.lineno for n in ast.walk(ast.parse((PACKAGE / file).read_text()))
             if isinstance(n, ast.Assert)]  # fmt: skip
    assert not lines, f"{file}, lines {lines}: raise an error, or call what checks"


def test_the_program_knows_no_method_by_name():
    """It reads the fields of Method instead; only the peers of `bench step` are SimCLR."""
    folder = PACKAGE / "methods"
    names = {path.stem for path in folder.glob("*.py")} - {"__init__", "base"}
    assert len(names) > 5
    for file in FILES:
        if _module(file) not in ("main", "commands", "training", "builders") or file.endswith(
            "bench/peers.py"
        ):
            continue
        for node in ast.walk(ast.parse((PACKAGE / file).read_text())):
            if isinstance(node, ast.Constant):
                assert node.value not in names, f"{file}, line {node.lineno}: {node.value!r}"
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr":
                assert "memory" not in ast.unparse(node), f"{file}, line {node.lineno}"


def test_what_reads_pictures_loads_nothing_that_prepares_data_sets():
    code = """if True:
        import sys
        import byol_jax.commands.embed, byol_jax.training.train
        from byol_jax.data import catalog, loader, pictures, source
        print([name for name in sys.modules if name.startswith("byol_jax.data.preparation")])"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
