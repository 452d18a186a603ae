"""The config reference: every field of an experiment with its type, default and description."""

import copy
from typing import Any, NamedTuple

from ml_collections import ConfigDict, config_dict

ABSENT = object()  # the default of an optional field that default() does not contain


class Field(NamedTuple):
    """Type, default and meaning of one config field.

    Attributes:
        type: Type of the value. If the default is None, None is valid too.
        default: Value in `default()`, or ABSENT if `default()` does not contain the field.
        description: What the field does, as one line of text.
    """

    type: type
    default: Any
    description: str


# Sections come before their fields. A section that picks a function by its name takes the
# function's arguments as further fields; the function's docstring describes these.
FIELDS = {
    "seed": Field(int, 0, "Seed of the initial parameters, the data order and the augmentation."),
    # The training data.
    "data": Field(dict, {}, "Data set to train on, and how its images reach the devices."),
    "data.name": Field(
        str,
        "fashion_mnist_10k",
        "Data set: fashion_mnist_10k (part of the package), a folder that `prepare` wrote, or the "
        "name of a TFDS data set.",
    ),
    "data.train_split": Field(
        str, "train", "Split to train on, in TFDS notation, such as train or train[:90%]."
    ),
    "data.test_split": Field(str, "test", "Split to evaluate on after training, in TFDS notation."),
    "data.data_dir": Field(
        str,
        None,
        "Folder of the TFDS data sets; missing data sets are downloaded into it. None is the "
        "default folder of TFDS.",
    ),
    "data.image_size": Field(
        int,
        None,
        "Side in pixels of the square images: the shorter side is resized to it and the center is "
        "cropped. None keeps the stored size. Not used for training if the host crops.",
    ),
    "data.mode": Field(
        str,
        "auto",
        "resident keeps all decoded images on every device; streamed decodes each batch when it is "
        "needed; auto is resident if all images have one size and take at most 1 GiB.",
    ),
    "data.crops": Field(
        str,
        "auto",
        "Where random crops are cut: device; host, while it decodes; or auto, which is host for "
        "streamed images that are larger than 128 pixels or differ in size, if the views allow it.",
    ),
    "data.workers": Field(
        int,
        None,
        "Number of processes that read streamed images ahead. None is one per CPU core, at most "
        "16.",
    ),
    # The views of each image.
    "views": Field(
        dict,
        {},
        "One section per view, in the order that the method expects. Fields other than name and "
        "strength replace settings of the preset; see augment.Settings.",
    ),
    "views.*.name": Field(str, ABSENT, "Augmentation preset: one of augment.PRESETS."),
    "views.*.strength": Field(
        float,
        ABSENT,
        "Factor on the preset's brightness, contrast, saturation and hue jitter (SimCLR's s); 1 if "
        "absent.",
    ),
    # The networks.
    "encoder": Field(
        dict,
        {},
        "Backbone whose features are evaluated and exported. Further fields are arguments of the "
        "network.",
    ),
    "encoder.name": Field(str, "resnet50", "Network: one of networks.ENCODERS."),
    "projector": Field(
        dict,
        {},
        "MLP on the encoder's features. Fields are arguments of networks.mlp; empty means no "
        "projector.",
    ),
    "projector.batch_norm": Field(
        bool, ABSENT, "Whether to normalize the hidden layers of the projector; True if absent."
    ),
    "predictor": Field(
        dict,
        ABSENT,
        "MLP that predicts the target's projections, for methods with a predictor. "
        "Fields are arguments of networks.mlp.",
    ),
    "predictor.batch_norm": Field(
        bool, ABSENT, "Whether to normalize the hidden layers of the predictor; True if absent."
    ),
    "context": Field(
        dict, {}, "Context network of CPC. Fields are arguments of networks.row_context."
    ),
    "batch_norm": Field(
        dict,
        {},
        "Normalization layers of all networks. Further fields are attributes of networks.BatchNorm "
        "or networks.LayerNorm.",
    ),
    "batch_norm.kind": Field(
        str,
        ABSENT,
        "batch, or layer to normalize each position over its channels; batch if absent.",
    ),
    "batch_norm.sync": Field(
        bool, True, "Whether batch norm uses the batch of all devices instead of each device's own."
    ),
    "batch_norm.groups": Field(
        int, 1, "Number of groups into which batch norm splits the batch of each device."
    ),
    "start_from": Field(
        str,
        None,
        "File with the encoder's initial weights, written by `export` or `import`. None draws "
        "random weights.",
    ),
    # The method and its optimization.
    "method": Field(
        dict,
        {},
        "Self-supervised method. Further fields are arguments of the method.",
    ),
    "method.name": Field(str, "byol", "Method: one of methods.METHODS."),
    "optimizer": Field(
        dict,
        {},
        "Optimizer of the networks. Further fields are arguments of the optimizer.",
    ),
    "optimizer.name": Field(str, "sgd", "Optimizer: sgd, lars or adamw."),
    "optimizer.weight_decay": Field(float, 1e-4, "Coefficient of the weight decay."),
    "optimizer.mask": Field(
        str,
        "kernels",
        "Parameters with weight decay (in lars, also with adapted rates): everything, or kernels, "
        "which excludes biases and normalization scales.",
    ),
    "optimizer.multipliers": Field(
        dict, ABSENT, 'Factor on the learning rate of a network, such as {"predictor": 10.0}.'
    ),
    "schedule": Field(
        dict, {}, "Schedule of the learning rate. Further fields are arguments of the schedule."
    ),
    "schedule.name": Field(str, "cosine", "Schedule: constant, cosine or steps."),
    "schedule.learning_rate": Field(
        float, 0.03, "Peak learning rate, before it is scaled by the batch size."
    ),
    "schedule.scaling": Field(
        str,
        "linear",
        "Factor on learning_rate: none (1), linear (batch_size / 256) or sqrt (square root of "
        "batch_size).",
    ),
    "probe": Field(
        dict,
        {},
        "Optimizer of the online probe, a linear classifier on the encoder's features, "
        "trained at the same time if the data has labels. Its gradient does not reach the encoder.",
    ),
    "probe.name": Field(str, "sgd", "Optimizer of the online probe: sgd, lars or adamw."),
    "probe.learning_rate": Field(float, 0.1, "Constant learning rate of the online probe."),
    "probe.mask": Field(
        str, ABSENT, "Probe parameters that decay: everything or kernels; see optimizer.mask."
    ),
    "probe.multipliers": Field(
        dict, ABSENT, 'Factor on the learning rate of the probe\'s "kernel" or "bias".'
    ),
    "batch_size": Field(int, 256, "Images per step, over all devices of all hosts."),
    "epochs": Field(float, 100.0, "Passes over the training split; may be a fraction."),
    "microbatches": Field(
        int,
        1,
        "Parts into which each device splits its batch to save memory. The gradient is that of the "
        "whole batch.",
    ),
    "precision": Field(
        str,
        "float32",
        "Type in which the networks compute: float32 or bfloat16. Parameters, statistics and "
        "losses stay float32.",
    ),
    "remat": Field(
        str,
        None,
        "Activations that the encoder recomputes in the backward pass to save memory: None, "
        "elementwise (all except the outputs of convolutions) or blocks (all inside each residual "
        "block).",
    ),
    "most_skipped": Field(
        int,
        0,
        "Number of consecutive steps that are skipped if their loss or gradient is not finite. One "
        "more stops the run.",
    ),
    # What a run writes.
    "log_every_steps": Field(int, 50, "Steps between two log lines."),
    "checkpoint_every_steps": Field(int, 1000, "Steps between two checkpoints."),
    "keep_checkpoints": Field(int, 2, "Number of newest checkpoints to keep."),
    "tensorboard": Field(bool, False, "Whether to write TensorBoard event files."),
    "report": Field(bool, True, "Whether to write report.html after training."),
    "published": Field(
        float, None, "Accuracy that the paper reports, in percent; `compare` prints it."
    ),
    # The evaluation.
    "evaluate": Field(dict, {}, "Evaluation after training, and by the `evaluate` command."),
    "evaluate.protocols": Field(
        tuple,
        ("knn", "linear"),
        "Protocols to run: knn, linear, logistic, probe, finetune or semi; () for no evaluation.",
    ),
    "evaluate.steps": Field(
        tuple,
        ("last",),
        "Checkpoints to evaluate: last, best (by kNN on a tenth of the training split) or the "
        "number of a step. See keep_checkpoints.",
    ),
    "evaluate.data": Field(
        dict, {}, "Data set to evaluate on. A field that is None takes its value from data."
    ),
    "evaluate.data.name": Field(str, None, "Data set; see data.name."),
    "evaluate.data.train_split": Field(
        str, None, "Split to train classifiers on; see data.train_split."
    ),
    "evaluate.data.test_split": Field(
        str, None, "Split to measure accuracies on; see data.test_split."
    ),
    "evaluate.data.data_dir": Field(str, None, "Folder of the TFDS data sets; see data.data_dir."),
    "evaluate.data.image_size": Field(
        int, None, "Side of the square images in pixels; see data.image_size."
    ),
    "evaluate.on": Field(
        str,
        "features",
        "Output that knn, linear and logistic evaluate: features (of the encoder), projections (of "
        "the projector) or, for CPC, patches (mean of the encoder's features over all patches).",
    ),
    "evaluate.view": Field(
        dict,
        {},
        "Arguments of augment.evaluation_view. The defaults of size, mean and std are those of the "
        "first view.",
    ),
    "evaluate.baselines": Field(
        tuple,
        ("untrained", "raw pixels"),
        "Baselines to evaluate: untrained (the network before training), raw pixels.",
    ),
    "evaluate.options": Field(
        dict,
        {
            "knn": {"k": 20, "temperature": 0.1},
            "linear": {"epochs": 50, "seed": 0},
            "logistic": {"seed": 0},
            "probe": {"recipe": "simclr", "seed": 0},
            "finetune": {"epochs": 10, "learning_rates": (0.02, 0.1, 0.5), "seed": 0},
            "semi": {
                "fractions": (0.01, 0.1),
                "epochs": (60, 30),
                "learning_rates": (0.1, 0.4, 1.6),
                "seeds": (0,),
            },
        },
        "One section per protocol with the arguments of its function.",
    ),
}

# Fields that may change when a run resumes in its workdir: they do not affect the steps.
FREE = (
    "most_skipped",
    "log_every_steps",
    "checkpoint_every_steps",
    "keep_checkpoints",
    "tensorboard",
    "report",
    "evaluate",
    "published",
    "data.data_dir",
    "data.mode",
    "data.workers",
)


def default() -> ConfigDict:
    """Creates a config with the default value of every field.

    A config file sets `views`, `encoder`, `projector`, `method` and, if the method takes one,
    `predictor`. It may replace any other section as a whole.

    Returns:
        The config. A field whose default is None accepts values of the field's type.
    """
    values: dict[str, Any] = {}
    for path, field in FIELDS.items():
        if field.default is ABSENT:
            continue
        *parents, name = path.split(".")
        section = values
        for parent in parents:
            section = section[parent]
        if field.default is None:
            section[name] = config_dict.placeholder(field.type)
        else:
            section[name] = copy.deepcopy(field.default)
    return ConfigDict(values)
