"""The commands of `python -m byol_jax`: one module per command.

Each module defines three names:

    EXAMPLE                  an example command line, without the program's name
    add_arguments(parser)    adds the command's flags
    run(flags)               does the work and returns the exit code; None means 0

A module is imported only when its command is called.
"""

COMMANDS = {  # name -> what the command does, in the order in which a project uses them
    "prepare": "convert a folder of images into a data set",
    "preview": "draw training images and their augmented views",
    "train": "train an encoder, or resume a run",
    "evaluate": "evaluate a trained encoder by kNN, linear classifiers or fine-tuning",
    "report": "write an HTML page about one or more runs",
    "compare": "print a table that compares finished runs",
    "embed": "compute the features of all images in a folder",
    "export": "write the encoder of a run to a file, for byol_jax or PyTorch",
    "import": "convert weights from another project into an encoder file",
    "unpickle": "extract the arrays of a pickled checkpoint without executing the pickle",
    "doctor": "check whether this machine can train, and how fast it is",
    "bench": "measure speed and memory use on this machine",
    "plan": "compile a run for TPUs or GPUs that are not here, and estimate its memory and time",
}
MODULES = {"import": "import_weights"}  # commands whose module has another name
