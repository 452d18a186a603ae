#!/usr/bin/env bash
# Trains every config in configs/collapse, two at a time, then prints a table and draws a figure:
#   launch/studies/collapse.sh [FOLDER]
# The runs are written to FOLDER (default runs/collapse).
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=${1:-runs/collapse}
names=(byol no_predictor no_stop_gradient decay_0 decay_1 neither raft simclr)
mkdir -p "$runs"
printf '%s\n' "${names[@]}" | xargs -P 2 -I{} sh -c \
    "python -m byol_jax train --config=configs/collapse/{}.py --workdir='$runs/{}' > '$runs/{}.log' 2>&1"
python -m byol_jax compare "${names[@]/#/$runs/}" --picture=configs/collapse/spread.svg
