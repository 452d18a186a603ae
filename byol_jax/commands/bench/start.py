"""`bench start`: the time from the command `train` to the end of its first step."""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ml_collections import ConfigDict

from byol_jax import errors, workdir

_COMMAND = (sys.executable, "-m", "byol_jax", "train")
_PAUSE = 0.02  # seconds between two looks at the log
# A config file that returns the config of the folder in which it lies.
_CONFIG = """
from pathlib import Path
from byol_jax.config import saved

def get_config():
    return saved.load(Path(__file__).parent)
"""


def measure(config: ConfigDict, *, rounds: int = 5) -> dict[str, float]:
    """Measures how long `train` takes until its first step is in the log.

    Each run is a new process with a new working directory, and is stopped after that step. The
    first run compiles; the others read its programs from the compilation cache. Prints the results.

    Args:
        config: The experiment's config. Every step is logged, whatever it says.
        rounds: The number of runs with a filled cache.

    Returns:
        Seconds as "import", to import the command's modules, the median of the rounds; "cold",
        with an empty compilation cache; and "warm", with a filled one, the median of the rounds.

    Raises:
        UserError: The run ended before its first step.
    """
    config = config.copy_and_resolve_references()
    config.log_every_steps = 1
    with tempfile.TemporaryDirectory() as folder:
        imports = [_import_seconds() for _ in range(rounds)]
        cold = _start_seconds(config, Path(folder))
        warm = [_start_seconds(config, Path(folder)) for _ in range(rounds)]
    results = {"import": statistics.median(imports), "cold": cold, "warm": statistics.median(warm)}
    print(
        f"first step after {results['warm']:.1f} s with a filled compilation cache (median of "
        f"{rounds} runs, {min(warm):.1f} to {max(warm):.1f} s), and after {cold:.1f} s with an "
        f"empty one; the imports take {results['import']:.1f} s of each"
    )
    return results


def _import_seconds() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import byol_jax.commands.train"], check=True)
    return time.perf_counter() - start


def _start_seconds(config: ConfigDict, folder: Path) -> float:
    """Returns the seconds until a run has logged a step; compiled programs stay in the folder."""
    with tempfile.TemporaryDirectory(dir=folder) as run:
        workdir.write_config(run, config.to_dict())
        file = Path(run) / "config.py"
        file.write_text(_CONFIG, encoding="utf-8")
        log = Path(run) / "run" / workdir.METRICS
        output = Path(run) / "output"
        environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
        start = time.perf_counter()
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [*_COMMAND, f"--config={file}", f"--workdir={log.parent}"],
                env=environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that the workers that read ahead end with it
            )
        try:
            while not (log.exists() and log.stat().st_size):
                if process.poll() is not None:
                    text = output.read_text(encoding="utf-8", errors="replace")
                    raise errors.UserError(f"the run ended before its first step:\n{text.strip()}")
                time.sleep(_PAUSE)
            return time.perf_counter() - start
        finally:
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
