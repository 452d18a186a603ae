#!/usr/bin/env bash
# Runs a command and restarts it after a fault, so that training resumes automatically:
#   launch/again.sh COMMAND [ARGUMENT …]
# Faults are the exit codes 75 (the run was asked to stop), 76 (another host died), and 128 or more
# (a signal). After any other error, such as a mistyped config, a restart would fail again, so the
# script exits with the command's code.
# Environment: RESTARTS, the maximum number of restarts (default 100), and PAUSE, the seconds before
# each restart (default 5).
set -uo pipefail
if [ $# -eq 0 ]; then
  echo "usage: [RESTARTS=N] [PAUSE=SECONDS] $0 COMMAND [ARGUMENT …]" >&2
  exit 2
fi
restarts=${RESTARTS:-100}
for ((attempt = 0; ; attempt++)); do
  "$@" && exit 0
  code=$?
  if [ "$code" -lt 75 ] || { [ "$code" -gt 76 ] && [ "$code" -lt 128 ]; } || [ "$attempt" -ge "$restarts" ]; then
    exit "$code"
  fi
  echo "$0: exit code $code; attempt $((attempt + 2)) starts in ${PAUSE:-5} s" >&2
  sleep "${PAUSE:-5}"
done
