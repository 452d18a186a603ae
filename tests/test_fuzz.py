"""A short form of fuzz.py: a config or a command with an error is refused in one paragraph."""

import copy
import subprocess
import sys

import jax
import pytest

import fuzz
from byol_jax import errors, networks
from support import fuzz_commands, fuzz_configs

SEED = 20
# ml_collections loads a config file by it.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


@pytest.fixture(autouse=True)
def _program_settings():
    """Errors are what users see, without the tests' stricter JAX."""
    with jax.debug_key_reuse(False):
        yield


@pytest.mark.parametrize("kind", fuzz_configs.METHODS)
def test_what_is_mutated_is_valid_before(kind):
    tree = fuzz_configs.config(kind)
    assert fuzz.judge(fuzz.Case(kind, copy.deepcopy(tree), ())) == ("success", "")


@pytest.mark.parametrize("argv", fuzz_commands.VALID, ids=" ".join)
def test_what_is_mutated_runs_before(argv):
    assert fuzz_commands.judge(argv, ()) == ("success", "")


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_a_mistake_is_told_by_its_name_in_a_paragraph(first):
    for number in range(first, first + 10):
        one = fuzz.case(SEED, number)
        verdict, said = fuzz.judge(one)
        assert verdict != "bad", f"{number}: {one.what}: {said}"


def _refusal(**changes):
    tree = fuzz_configs.config("byol")
    for path, value in changes.items():
        section, name = path.split("__")
        tree[section][name] = value
    verdict, said = fuzz.judge(fuzz.Case("", tree, tuple(changes)))
    assert verdict == "bad"  # none of the words are in it, and what is said comes back whole
    return said


def test_a_value_of_another_type_is_told_with_the_type():
    said = _refusal(method__decay="high")
    assert "config.method.decay is 'high', of type str; it must be a finite number" in said
    said = _refusal(encoder__widths=(8, "16"))
    assert "config.encoder.widths is (8, '16')" in said and "each item a whole number" in said


def test_an_error_of_a_library_names_the_section_that_it_is_about():
    with pytest.raises(errors.UserError) as raised:
        with errors.naming_section("encoder", {"name": "resnet_tiny", "widths": (8, 0)}):
            raise ZeroDivisionError("division by zero")
    said = str(raised.value)
    assert "config.encoder = {'name': 'resnet_tiny', 'widths': (8, 0)" in said
    assert "ZeroDivisionError" in said
    assert "config.encoder: widths (8, 0) and stem_width 8" in _refusal(encoder__widths=(8, 0))


def test_an_error_of_this_package_gets_the_section_before_its_own_words():
    words = "^config.encoder: unknown padding 'x'; choose one of"
    with pytest.raises(errors.UserError, match=words) as raised:
        with errors.naming_section("encoder", {"padding": "x"}):
            networks.resnet((1,), padding="x")
    assert raised.value.section == "encoder" and raised.value.value == {"padding": "x"}


def test_an_error_that_names_its_section_keeps_it():
    inner = errors.UserError("config.a.b is 3", section="a.b", value=3)
    with pytest.raises(errors.UserError, match="^config.a.b is 3$") as raised:
        with errors.naming_section("c", {}):
            raise inner
    assert raised.value is inner


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            "--config.encoder.x=3",
            "--config.encoder.x: config.encoder has no field 'x'; it has always_project, "
            "bottleneck",
        ),
        ("--config.batchsize=8", "has no field 'batchsize' (did you mean 'batch_size'?)"),
        (
            "--config.batch_size=many",
            "config.batch_size is 'many', of type str; it must be a whole number",
        ),
        ("--config.epochs.x=3", "config.epochs is not a section"),
        ("--config=missing.py", "missing.py"),
    ],
)
def test_a_field_that_is_wrong_on_the_command_line_is_told_without_a_traceback(given, words):
    config = [] if given.startswith("--config=") else ["--config=configs/quickstart.py"]
    verdict, said = fuzz_commands.judge(["train", *config, "--workdir=w", given], (words,))
    assert verdict == "refused" and words in said


def test_the_program_itself_says_it_in_one_line():
    command = [sys.executable, "-m", "byol_jax", "train", "--config=configs/quickstart.py"]
    done = subprocess.run(
        [*command, "--workdir=w", "--config.encoder.x=3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("byol_jax: --config.encoder.x: ")
