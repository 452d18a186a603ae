#!/usr/bin/env bash
# Trains on all devices of this machine, or on N simulated CPU devices:
#   launch/local.sh configs/quickstart.py runs/quickstart [--config.field=value …]
#   DEVICES=4 launch/local.sh configs/quickstart.py runs/quickstart
set -euo pipefail
if [ $# -lt 2 ]; then
  echo "usage: [DEVICES=N] $0 CONFIG WORKDIR [--config.field=value …]" >&2
  exit 2
fi
config=$1 workdir=$2
shift 2
if [ -n "${DEVICES:-}" ]; then
  export JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=$DEVICES
fi
exec python -m byol_jax train --config="$config" --workdir="$workdir" "$@"
