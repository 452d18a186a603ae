"""The commands of the program, a file each, with its flags beside its function.

Each module has `EXAMPLE`, `add_arguments(parser)` and `run(flags)`, which returns the exit code, None
for 0. A module loads when its command is called.
"""

COMMANDS = {  # in the order of a project: name -> what it does
    "prepare": "make a data set of a folder of pictures",
    "preview": "draw training images and their augmented views",
    "train": "train an encoder, or resume a run",
    "evaluate": "measure the features of a run or of an encoder's file",
    "report": "write one HTML page about one or several runs",
    "compare": "print a table of finished runs",
    "embed": "compute the features of a folder of pictures",
    "export": "write the encoder of a run to a file, for byol_jax or PyTorch",
    "import": "make an encoder's file of weights from another project",
    "unpickle": "read the arrays of a pickled checkpoint without running it",
    "bench": "measure speed and memory on this machine",
    "plan": "compile the train step for a TPU that need not be here",
}
MODULES = {"import": "import_weights"}  # where the name of a command is not that of its file
