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
# Linux: arrays in huge pages, where the kernel gives them only to who asks; steps take a tenth less.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
exec python -m byol_jax train --config="$config" --workdir="$workdir" "$@"
