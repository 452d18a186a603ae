"""Output of a running job: metrics files, progress displays, alerts, and a summary at the start."""

from byol_jax.monitor import alerts
from byol_jax.monitor.counter import Counter
from byol_jax.monitor.metrics_file import Writer
from byol_jax.monitor.metrics_log import Log
from byol_jax.monitor.progress_bar import Progress
from byol_jax.monitor.summary import leaves_text, show

__all__ = ["Counter", "Log", "Progress", "Writer", "leaves_text", "show", "alerts"]
