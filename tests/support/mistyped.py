"""Mistyped command lines, each with words of the fix that its error message must contain.

    python [-O] -m support.mistyped FOLDER

runs all lines in one process. It prints, as JSON, the exit code, the output and the contents of
FOLDER after each line. FOLDER must be empty.
"""

import contextlib
import io
import json
import os
import shlex
import sys

_PREVIEW = "preview --config=configs/quickstart.py "
_TRAIN = "train --config=configs/quickstart.py --workdir={}/run "
LINES = {
    "": "no command given; the commands are prepare, preview, train",
    "trian --workdir=w": "unknown command 'trian' (did you mean train?)",
    "evalute": "did you mean evaluate",
    "--config=configs/quickstart.py train": "the commands are prepare, preview, train",
    "train": "train needs --config and --workdir",
    "train --config=configs/quickstart.py": "train needs --workdir",
    "train --confg=configs/quickstart.py --workdir=w": "did you mean --config?",
    "train configs/quickstart.py --workdir=w": "did you mean --config=configs/quickstart.py?",
    "train --config=configs/quickstrat.py --workdir=w": "did you mean configs/quickstart.py?",
    "train --config=README.md --workdir=w": "a config is a Python file",
    "train --config=configs --workdir=w": "a config is a Python file",
    _TRAIN + "--worksdir=w": "did you mean --workdir?",
    _TRAIN + "--workers=3": "train has no flag --workers",
    _TRAIN + "--timeout=soon": "argument --timeout: invalid int value: 'soon'",
    _TRAIN + "--num_processes=2": "give --coordinator, --num_processes and --process_id",
    _TRAIN
    + "--config.batchsize=64": "config has no field 'batchsize' (did you mean 'batch_size'?)",
    _TRAIN + "--config.batch_size=many": "it must be a whole number",
    _TRAIN + "--config.batch_size=100000": "larger than the 10000 training examples",
    _TRAIN + "--config.microbatches=3": "try 126",
    _TRAIN + "--config.epochs=-1": "config.epochs is -1.0; it must be above 0",
    _TRAIN + "--config.epochs.x=3": "config.epochs is not a section; leave out .x",
    _TRAIN + "--config.method.name=byoll": "did you mean 'byol'",
    _TRAIN
    + "--config.optimzer.nesterov=1": "config has no field 'optimzer' (did you mean 'optimizer'?)",
    _TRAIN
    + "--config.views.frist.size=8": "config.views has no view 'frist' (did you mean 'first'?)",
    _TRAIN + "--config.learning_rate=0.1": "did you mean --config.schedule.learning_rate?",
    _TRAIN + "--epochs=3": "did you mean --config.epochs?",
    _TRAIN + "--config..epochs=3": "write --config.FIELD or --config.SECTION.FIELD",
    _TRAIN + "--config.method='{name: moco}'": "quote its strings",
    _TRAIN + "--config.method.name=mocov3": "--config.predictor.widths=",
    _TRAIN
    + "--config.method.temperature=0": "config.method.temperature is 0.0; it must be above 0",
    _TRAIN
    + "--config.evaluate.options.knn.k=0": "config.evaluate.options.knn.k is 0; it must be 1",
    _TRAIN + "--config.evaluate.steps=-5": "must be one of last, best, a number from 1",
    "train --config=configs/quickstart.py:x --workdir={}/run": "leave out :x",
    _TRAIN + "--config.method=byol": "did you mean --config.method.name=byol?",
    _TRAIN + "--config.method.temprature=0.1": "did you mean 'temperature'",
    _TRAIN + "--config.method.temperature=warm": "it must be a finite number",
    _TRAIN + "--config.encoder.name=resnet05": "did you mean 'resnet50'",
    _TRAIN + "--config.encoder.x=3": "config.encoder has no field 'x'; it has always_project",
    _TRAIN + "--config.encoder.stem=striding": "config.encoder: unknown stem 'striding'",
    _TRAIN + "--config.optimizer.name=adm": "did you mean 'adamw'",
    _TRAIN + "--config.optimizer.mask=kernel": "did you mean 'kernels'",
    _TRAIN + "--config.schedule.scaling=liner": "did you mean 'linear'",
    _TRAIN + "--config.precision=float16": "did you mean 'bfloat16'",
    _TRAIN + "--config.data.mode=streaming": "did you mean 'streamed'",
    _TRAIN + "--config.data.name=fashion_mnist_10": "Similar names: fashion_mnist_10k",
    _TRAIN + "--config.data.train_split=trian": "has no split 'trian'; it has",
    _TRAIN + "--config.views.first.area=(1.0,0.2)": "config.views.first: random crop: area",
    _TRAIN + "--config.views.first.area=1": "config.views.first: area (1,) must be a pair",
    _TRAIN + "--config.views.first.order=crp,flip": "did you mean 'crop'",
    _TRAIN + "--config.views.first.size=0": "height and width must be 1 or more, but size is 0",
    _TRAIN
    + "--config.projector.widths=()": "config.projector: widths must be one or more integers",
    _TRAIN + "--config.evaluate.protocols=knn,liner": "did you mean 'linear'",
    _PREVIEW + "--out=v.png --max_side=4": "preview has no flag --max_side",
    _PREVIEW + "--out={}/v.xyz": "must end in .png",
    "evaluate": "evaluate needs --workdir (a run) or --encoder (an encoder file)",
    "evaluate runs/quickstart": "did you mean --workdir=runs/quickstart?",
    "evaluate --workdir={}/none": "has no config.json; give the --workdir of a run",
    "embed --images=x --out=y.npz": "embed needs either --encoder or --workdir, but not both",
    "export --workdir=w --out=x --layout=torchvison": "did you mean torchvision?",
    "export --workdir=w --out=x --step=three": "argument --step: invalid int value: 'three'",
    "import --weights={}/none.pth --out={}/x": "there is no file",
    "prepare --source={}/none --out={}/x": "give --source a folder of images",
    "prepare --source=s --out={}/x --duplicates=drpo": "did you mean drop?",
    "compare": "compare RUN [RUN …]",
    "report w": "report needs --out",
    "report w --out={}/q.pdf": "give a name that ends in .html",
    "bench augmnt --config=configs/quickstart.py": "did you mean augment?",
    "plan --config=configs/quickstart.py --topology=v5": "name TPUs (v5e, v5p, v6e)",
}


def run(line: str, folder: str) -> tuple[int, str]:
    """Runs a command line in this process; returns its exit code and its output."""
    from byol_jax import main

    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            main.run(shlex.split(line.replace("{}", folder)))
            code = 0
        except SystemExit as end:
            code = end.code
    if isinstance(code, str):  # Python does the same when a program exits with a text
        output.write(f"{code}\n")
        code = 1
    return code or 0, output.getvalue()


def main(folder: str) -> None:
    """Runs all lines and prints the results as JSON."""
    results = {line: [*run(line, folder), os.listdir(folder)] for line in LINES}
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1])
