#!/usr/bin/env bash
# Trains on all workers of a Cloud TPU VM, from a machine with gcloud:
#   TPU=my-pod ZONE=us-central2-b launch/tpu_vm.sh configs/imagenet/byol.py gs://bucket/runs/byol [--config.field=value …]
# byol_jax must be installed on the workers:
#   gcloud … ssh --worker=all --command="pip install 'byol_jax[tpu]'"
# After a fault, training restarts on all workers and resumes.
set -euo pipefail
if [ $# -lt 2 ] || [ -z "${TPU:-}" ] || [ -z "${ZONE:-}" ]; then
  echo "usage: TPU=NAME ZONE=ZONE $0 CONFIG WORKDIR [--config.field=value …]" >&2
  exit 2
fi
config=$1 workdir=$2
shift 2
printf -v train '%q ' python3 -m byol_jax train --distributed --config="$config" --workdir="$workdir" "$@"
exec "$(dirname "$0")/again.sh" \
  gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="$train"
