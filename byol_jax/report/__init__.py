"""What a run tells: metrics on disk, a progress bar, and a summary at the start; runs compared."""

from byol_jax.report import compare, watch
from byol_jax.report.counter import Counter
from byol_jax.report.log import Log
from byol_jax.report.progress import Progress
from byol_jax.report.summary import leaves_text, show
from byol_jax.report.writer import Writer

__all__ = ["Counter", "Log", "Progress", "Writer", "compare", "leaves_text", "show", "watch"]
