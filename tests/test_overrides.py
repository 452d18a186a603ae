"""Fields by flag: any that a section's factory takes, in sections that are there or not."""

import re
from typing import Protocol

import pytest
from ml_collections import ConfigDict

from byol_jax import errors
from byol_jax.config import bases, check, fields, overrides, sections


def _config(**flags):
    config = bases.small_grey()
    config.projector = {"widths": (16, 8)}
    config.method = {"name": "simclr", "temperature": 0.2, "joint_views": False}
    overrides.apply(config, [(name.replace("__", "."), text) for name, text in flags.items()])
    return config


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("method.sum_directions", "True", True),  # none of these is in the config file
        ("optimizer.nesterov", "true", True),
        ("batch_norm.unbiased", "True", True),
        ("projector.kernel_init", "torch", "torch"),
        ("projector.kernel_init", "0.01", 0.01),
        ("encoder.zero_last_scale", "1 > 0", None),
        ("views.first.solarize_probability", "0.2", 0.2),
        ("views.first.order", "crop,flip", ("crop", "flip")),
        ("evaluate.options.finetune.batch_size", "64", 64),
        ("optimizer.multipliers.projector", "10", 10.0),
        ("evaluate.view.proportion", "0.875", 0.875),
        ("epochs", "3", 3.0),
        ("schedule.warmup_epochs", "0.5", 0.5),
        ("batch_size", "64", 64),
        ("remat", "blocks", "blocks"),
        ("remat", "None", None),
        ("data.name", "123", "123"),  # a name, though it reads as a number
        ("evaluate.protocols", "knn", ("knn",)),
        ("evaluate.protocols", "[]", ()),
        ("evaluate.protocols", "(knn, linear)", ("knn", "linear")),
        ("evaluate.steps", "('last', 3)", ("last", 3)),
        ("method", "{'name': 'moco', 'capacity': 4096}", {"name": "moco", "capacity": 4096}),
    ],
)
def test_a_flag_sets_any_field_that_its_section_takes(path, text, value):
    config = _config()
    if value is None and text != "None":
        with pytest.raises(errors.UserError, match="it must be True or False"):
            overrides.apply(config, [(path, text)])
        return
    overrides.apply(config, [(path, text)])
    found = config
    for name in path.split("."):
        found = found[name]
    found = found.to_dict() if isinstance(found, ConfigDict) else found
    assert found == value and type(found) is type(value)
    check.check(config)


def test_an_absent_section_comes_with_its_first_field():
    config = _config(predictor__widths="(16, 8)", method__name="byol")
    assert config.predictor.widths == (16, 8)
    check.check(config)
    config = _config(views__third__name="plain", views__third__size="8")
    assert config.views.third.to_dict() == {"name": "plain", "size": 8}
    check.check(config)


def test_another_name_keeps_the_arguments_that_its_factory_takes():
    config = _config()
    paths = [("method.capacity", "4096"), ("method.name", "moco")]
    notes = overrides.apply(config, paths)  # the name first, whatever the order of the flags
    assert config.method.to_dict() == {"name": "moco", "temperature": 0.2, "capacity": 4096}
    words = "--config.method.name=moco removes arguments that moco does not take: joint_views"
    assert notes == [words]
    check.check(config)


def test_the_order_of_the_flags_does_not_matter():
    flags = [("method.capacity", "99"), ("method.name", "moco"), ("method", "{'name': 'byol'}")]
    for one in (flags, flags[::-1]):
        config = _config()
        overrides.apply(config, one)
        assert config.method.to_dict() == {"name": "moco", "capacity": 99}


def test_another_kind_of_norm_is_a_name_too():
    config = _config(batch_norm__kind="layer")
    assert config.batch_norm.to_dict() == {"sync": True, "kind": "layer"}
    check.check(config)


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        (
            "method.x",
            "1",
            "config.method has no field 'x'; it has joint_views, name, sum_directions",
        ),
        ("batch_size", "2.5", "config.batch_size is 2.5, of type float; it must be a whole number"),
        ("batch_size.x", "1", "config.batch_size is not a section; leave out .x"),
        ("", "1", "write --config.FIELD or --config.SECTION.FIELD"),
        ("method.", "1", "write --config.FIELD or --config.SECTION.FIELD"),
        ("encoder.batch_norm", "True", "config.encoder has no field 'batch_norm'"),  # the program's
        ("nowhere.x", "1", "config has no field 'nowhere'"),
        (
            "evaluate.options.knnn.k",
            "3",
            "config.evaluate.options has no field 'knnn' (did you mean 'knn'",
        ),
        ("views", "3", "config.views is a section of fields"),
    ],
)
def test_what_is_no_field_is_refused(path, text, words):
    with pytest.raises(errors.UserError, match=re.escape(words)):
        overrides.apply(_config(), [(path, text)])


def test_the_default_config_lacks_only_what_a_file_fills_in():
    with pytest.raises(errors.UserError, match="config.views is empty"):
        check.check(fields.default())


@pytest.mark.parametrize("path", fields.FIELDS)
def test_the_reference_describes_fields_that_their_sections_take(path):
    field = fields.FIELDS[path]
    section, _, name = path.rpartition(".")
    kind = sections.accepted(section, fields.default())[name]
    if field.default is not fields.ABSENT:
        assert sections.fits(field.default, kind)
        assert field.default is None or type(field.default) is field.type
    assert field.description.endswith(".") and len(field.description.splitlines()) == 1


def test_every_field_of_the_program_is_in_the_reference():
    config = fields.default()
    for section in sections.CLOSED:
        names = {f"{section}.{name}".lstrip(".") for name in sections.accepted(section, config)}
        assert names <= set(fields.FIELDS)


class _Activation(Protocol):
    def __call__(self, x: float) -> float: ...


def test_a_protocol_is_any_callable_and_no_message_names_it():
    assert sections.fits(abs, _Activation) and not sections.fits("relu", _Activation)
    with pytest.raises(errors.UserError, match=r"it must be a string or None\.$"):
        sections.check_type("method.x", 3, str | _Activation | None)
