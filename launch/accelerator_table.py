"""Writes OUT/table.md from the results of accelerator.sh, and prints it.

python launch/accelerator_table.py OUT
"""

import json
import pathlib
import sys


def main(out: pathlib.Path) -> int:
    """Returns 1 if a part failed, else 0."""
    failed = False
    lines = [
        "| part | seconds | result |",
        "|---|---:|---|",
    ]
    for line in (out / "parts.tsv").read_text(encoding="utf-8").splitlines():
        name, outcome, seconds = line.split("\t")
        result = _summary(out, name) if outcome == "ok" else outcome
        failed |= outcome.startswith("exit code")
        lines.append(f"| {name} | {seconds} | {result} |")
    devices = [finding["value"] for finding in _findings(out) if finding["name"] == "devices"]
    title = devices[0] if devices else "devices unknown"
    table = f"# {title}\n\n" + "\n".join(lines) + "\n"
    (out / "table.md").write_text(table, encoding="utf-8")
    print(table)
    return int(failed)


def _findings(out):
    """Returns what doctor found; empty if it did not finish."""
    try:
        return json.loads((out / "doctor.txt").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def _summary(out, name):
    """Describes the results of a part in a few words."""
    if name == "doctor":
        warnings = [f["name"] for f in _findings(out) if f["verdict"] == "warning"]
        return "no problems" + (f", warnings: {', '.join(warnings)}" if warnings else "")
    file = out / f"{name}.json"
    if not file.exists():
        return _last_line(out / f"{name}.txt")
    results = json.loads(file.read_text(encoding="utf-8"))
    if name == "nt_xent":
        batch, row = list(results.items())[-1]
        return f"batch {batch}: {1e3 * row['tiles']:,.1f} ms, {row['tiles MiB']:,.0f} MiB in tiles"
    if "compile_seconds" not in results:
        return f"{results['byol_jax']:,.0f} images/s"
    words = [
        f"{results['byol_jax']:,.0f} images/s",
        f"batch {results['batch_size']:,}",
        f"compiled in {results['compile_seconds']:.0f} s",
        f"peak {results['peak_bytes'] / 2**30:.1f} GiB",
    ]
    if "mfu" in results:
        words.append(f"MFU {results['mfu']:.0%}")
    words += [f"{ratio:.2f} times {peer}" for peer, ratio in results.get("ratios", {}).items()]
    return ", ".join(words)


def _last_line(file):
    lines = file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines and len(lines[-1]) < 100 else ""


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
