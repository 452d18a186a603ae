#!/usr/bin/env bash
# Trains on all devices of this machine, on simulated CPU devices, or on simulated hosts:
#   launch/local.sh configs/quickstart.py runs/quickstart [--config.field=value …]
#   DEVICES=4 launch/local.sh configs/quickstart.py runs/quickstart
#   HOSTS=2 DEVICES=2 launch/local.sh configs/quickstart.py runs/quickstart
# Restarts and resumes after a fault (see again.sh).
# Environment: DEVICES, the number of simulated CPU devices of each host; HOSTS, the number of
# simulated hosts; PORT, the port at which the hosts connect (default 9730).
set -euo pipefail
if [ $# -lt 2 ]; then
  echo "usage: [HOSTS=N] [DEVICES=N] [PORT=N] $0 CONFIG WORKDIR [--config.field=value …]" >&2
  exit 2
fi
config=$1 workdir=$2
shift 2
if [ -n "${DEVICES:-}" ]; then
  export JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=$DEVICES
fi
# On Linux, request huge pages for arrays, which makes steps about a tenth faster.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
train=(python -m byol_jax train --config="$config" --workdir="$workdir" "$@")

# Starts all hosts and returns the exit code of the first one that fails. The others then exit too.
hosts() {
  local host code=0 pids=()
  for ((host = 0; host < HOSTS; host++)); do
    "${train[@]}" --coordinator="127.0.0.1:${PORT:-9730}" --num_processes="$HOSTS" --process_id="$host" &
    pids+=($!)
  done
  trap 'kill -TERM "${pids[@]}" 2>/dev/null' TERM INT
  for host in "${!pids[@]}"; do
    wait -n || { code=$?; break; }
  done
  wait
  return "$code"
}

again=$(dirname "$0")/again.sh
if [ -z "${HOSTS:-}" ]; then
  exec "$again" "${train[@]}"
elif [ -n "${INSIDE:-}" ]; then
  hosts
else
  INSIDE=1 exec "$again" "$0" "$config" "$workdir" "$@"
fi
