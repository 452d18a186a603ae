"""The fields of an experiment and what they mean; a config file changes some of them."""

from ml_collections import ConfigDict, config_dict


def default() -> ConfigDict:
    """What every experiment has. A section with a `name` picks that part; the rest of the section
    are the keyword arguments of its factory.

    Config files fill in `views`, `encoder`, `projector`, `method`, and `predictor` where the method
    takes one; they may replace any other section whole.
    """
    return ConfigDict(
        {
            "seed": 0,
            # An embedded data set, a folder that `prepare` made, or a name of TFDS in data_dir.
            "data": {
                "name": "fashion_mnist_10k",
                "train_split": "train",
                "test_split": "test",
                "data_dir": config_dict.placeholder(str),
                # Where pictures differ in size: the pixels of their shorter side, and of the square
                # that is cut from the middle, to evaluate, and to train unless the host crops.
                "image_size": config_dict.placeholder(int),
                # resident: all of it decoded on every device; streamed: read as it is needed;
                # auto: resident up to 1 GiB of pictures of one size.
                "mode": "auto",
                # Where the views' random crops are cut: on the device, or on the host while it
                # decodes; auto: on the host for streamed pictures of more than 128 pixels.
                "crops": "auto",
                # Processes that read ahead; None: one per core where streamed, at most 16.
                "workers": config_dict.placeholder(int),
            },
            # Each an augmentation preset, in the order in which the method names its views.
            "views": {},
            "encoder": {"name": "resnet50"},
            "projector": {},  # the arguments of networks.mlp; batch_norm: True or False
            "context": {},  # of CPC alone: those of networks.row_context
            # sync: over all devices, or per device, there in so many groups. {"kind": "layer"}
            # normalizes by the channels instead.
            "batch_norm": {"sync": True, "groups": 1},
            # The encoder's first weights: a file that `export` or `import` wrote.
            "start_from": config_dict.placeholder(str),
            "method": {"name": "byol"},
            # multipliers: {"predictor": 10.0} gives a network so many times the learning rate.
            "optimizer": {"name": "sgd", "weight_decay": 1e-4, "mask": "kernels"},
            # The peak: learning_rate times 1 ("none"), batch_size / 256 ("linear"), or
            # sqrt(batch_size) ("sqrt").
            "schedule": {"name": "cosine", "learning_rate": 0.03, "scaling": "linear"},
            # The optimizer of the online probe, which learns where the data has labels.
            "probe": {"name": "sgd", "learning_rate": 0.1},
            "batch_size": 256,  # over all devices
            "epochs": 100.0,  # or a part of one
            "microbatches": 1,  # of a device's batch; the gradient is that of the whole batch
            "precision": "float32",  # of the networks: float32 or bfloat16
            # What the encoder computes anew in the backward pass instead of keeping it: None,
            # "elementwise" or "blocks" (see networks.resnet).
            "remat": config_dict.placeholder(str),
            # A step whose loss or gradient is not finite moves nothing. So often in a row it is
            # skipped and counted; once more, and the run stops, with the state and the batch saved.
            "most_skipped": 0,
            "log_every_steps": 50,
            "checkpoint_every_steps": 1000,
            "keep_checkpoints": 2,
            "tensorboard": False,
            "report": True,  # write report.html at the end
            "published": config_dict.placeholder(float),  # the paper's number, for `compare`
            # After training, protocols of evaluation.protocols: on the encoder's features, on the
            # method's projections, or (CPC) on the mean of the encoder's features of patches.
            "evaluate": {
                "protocols": ("knn", "linear"),
                # Of the checkpoints that are kept: "last", "best" (by kNN on a tenth of the training
                # split), or the number of a step.
                "steps": ("last",),
                # Another data set to measure on; what is left out is as in `data`.
                "data": {
                    "name": config_dict.placeholder(str),
                    "train_split": config_dict.placeholder(str),
                    "test_split": config_dict.placeholder(str),
                    "data_dir": config_dict.placeholder(str),
                    "image_size": config_dict.placeholder(int),
                },
                "on": "features",
                "view": {},  # changes augment.evaluation_view; size, mean, std are the first view's
                "baselines": ("untrained", "raw pixels"),
                "options": {  # of each protocol, its function's arguments
                    "knn": {"k": 20, "temperature": 0.1},
                    "linear": {"epochs": 50, "seed": 0},
                    "logistic": {"seed": 0},
                    "probe": {"recipe": "simclr", "seed": 0},
                    "finetune": {"epochs": 10, "learning_rates": (0.02, 0.1, 0.5), "seed": 0},
                    "semi": {
                        "fractions": (0.01, 0.1),  # of the labels
                        "epochs": (60, 30),
                        "learning_rates": (0.1, 0.4, 1.6),
                        "seeds": (0,),
                    },
                },
            },
        }
    )


# What may change between two starts in one workdir: it changes no step that was done.
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
