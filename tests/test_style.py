"""Docstrings have one form, annotations say what they hold, and a statement assigns one thing."""

import ast
import pathlib
import re

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "byol_jax"
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {str(file.relative_to(PACKAGE)): ast.parse(file.read_text("utf-8")) for file in FILES}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
NOTHING = ("None", "NoReturn")
COMMAND = ("add_arguments", "run")  # of every command; commands/__init__.py documents them


def _public(tree: ast.Module):
    """Yields (function, its class or None) for each public function, method and `__call__`."""
    for node in tree.body:
        if isinstance(node, FUNCTIONS) and not node.name.startswith("_"):
            yield node, None
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                if isinstance(inner, FUNCTIONS):
                    if not inner.name.startswith("_") or inner.name in ("__init__", "__call__"):
                        yield inner, node


def _parameters(function) -> list[str]:
    arguments = function.args
    names = [x.arg for x in (*arguments.posonlyargs, *arguments.args)]
    names = [name for name in names if name not in ("self", "cls")]
    names += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
    names += [x.arg for x in arguments.kwonlyargs]
    return names + ([f"**{arguments.kwarg.arg}"] if arguments.kwarg else [])


def _section(docstring: str, name: str) -> list[str]:
    """The names that a section lists, as "Args:" does."""
    match = re.search(rf"^{name}:\n((?: {{4}}.*\n|\n)*)", docstring + "\n", re.M)
    return re.findall(r"^ {4}(\*{0,2}\w+):", match[1], re.M) if match else []


def _raised(function) -> set[str]:
    """The exceptions that the function itself raises by name, without those of nested functions."""
    nested = {
        id(node)
        for inner in ast.walk(function)
        if isinstance(inner, (*FUNCTIONS, ast.Lambda)) and inner is not function
        for node in ast.walk(inner)
    }
    raises = [n for n in ast.walk(function) if isinstance(n, ast.Raise) and id(n) not in nested]
    calls = [n.exc.func for n in raises if isinstance(n.exc, ast.Call)]
    names = {ast.unparse(call).rpartition(".")[2] for call in calls}
    return {name for name in names if name[0].isupper() and name != "SystemExit"}


def _documented(function, owner) -> str:
    parts = [ast.get_docstring(function) or ""]
    if function.name == "__init__":
        parts.append(ast.get_docstring(owner) or "")
    return "\n".join(parts)


def _is_command(module: str, function) -> bool:
    return module.startswith("commands/") and function.name in COMMAND


CASES = [
    pytest.param(function, owner, id=f"{module}:{owner.name + '.' if owner else ''}{function.name}")
    for module, tree in TREES.items()
    for function, owner in _public(tree)
    if not _is_command(module, function)
]


def test_every_public_function_documents_its_arguments_returns_and_errors():
    problems = []
    for case in CASES:
        function, owner = case.values
        text = _documented(function, owner)
        wanted = _parameters(function)
        if wanted and _section(text, "Args") != wanted:
            problems.append(f"{case.id}: Args names {_section(text, 'Args')}, not {wanted}")
        returns = function.returns is not None and ast.unparse(function.returns) not in NOTHING
        is_property = any("property" in ast.unparse(d) for d in function.decorator_list)
        if wanted and returns and not is_property and function.name != "__init__":
            if not re.search(r"^(Returns|Yields):\n {4}\S", text, re.M):
                problems.append(f"{case.id}: no Returns")
        missing = _raised(function) - set(_section(text, "Raises")) - {"AttributeError"}
        if missing:
            problems.append(f"{case.id}: Raises does not name {sorted(missing)}")
    assert len(CASES) > 400 and not problems, "\n".join(problems)


def test_every_public_class_documents_its_fields():
    problems = []
    for module, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                fields = [s.target.id for s in node.body if isinstance(s, ast.AnnAssign)]
                fields = [name for name in fields if not name.startswith("_")]
                missing = set(fields) - set(_section(ast.get_docstring(node) or "", "Attributes"))
                if missing:
                    problems.append(f"{module}:{node.name}: Attributes lacks {sorted(missing)}")
    assert not problems, "\n".join(problems)


def test_docstrings_have_no_other_form():
    """Sections have a line of their own; errors and arguments are not described in passing."""
    problems = []
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Module)):
                text = ast.get_docstring(node) or ""
                _, _, rest = text.partition("\n")  # the summary line may begin with a verb
                if re.search(r"^(Raises|Args|Yields)\b(?!:\n)", rest, re.M):
                    problems.append(f"{module}: {text}")
    assert not problems, "\n".join(problems)


def _annotations(tree):
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            every += [x for x in (arguments.vararg, arguments.kwarg) if x is not None]
            yield from (x.annotation for x in every if x.annotation is not None)
            if node.returns is not None:
                yield node.returns
        elif isinstance(node, ast.AnnAssign):
            yield node.annotation


def test_no_annotation_is_a_bare_callable():
    for module, tree in TREES.items():
        for annotation in _annotations(tree):
            subscripted = {
                id(n.value) for n in ast.walk(annotation) if isinstance(n, ast.Subscript)
            }
            bare = [
                node
                for node in ast.walk(annotation)
                if isinstance(node, ast.Name) and node.id == "Callable"
                if id(node) not in subscripted
            ]
            assert not bare, f"{module}:{annotation.lineno}: {ast.unparse(annotation)}"


def test_a_statement_assigns_one_thing():
    """At most 2 of 1,000 lines are `a, b = x, y`, and no dict is built only to be splatted."""
    packed = [
        f"{module}:{node.lineno}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)
    ]
    lines = sum(len(file.read_text("utf-8").splitlines()) for file in FILES)
    assert 1000 * len(packed) / lines <= 2, packed
    splatted = [
        f"{module}:{function.name}: {name}"
        for module, tree in TREES.items()
        for function in ast.walk(tree)
        if isinstance(function, FUNCTIONS)
        for name in _splatted_once(function)
    ]
    assert not splatted


def _splatted_once(function) -> list[str]:
    """The local dicts with constant keys whose only use is one `**name`."""
    dicts = {
        node.targets[0].id
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if isinstance(node.value, ast.Dict)
        if all(isinstance(key, ast.Constant) for key in node.value.keys)
    }
    uses = [n.id for n in ast.walk(function) if isinstance(n, ast.Name) and n.id in dicts]
    splats = [
        keyword.value.id
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg is None and isinstance(keyword.value, ast.Name)
    ]
    return [name for name in dicts if uses.count(name) == 2 and splats.count(name) == 1]
