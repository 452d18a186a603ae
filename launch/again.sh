#!/usr/bin/env bash
# Runs a command, and runs it again when a fault ended it, so that training resumes by itself:
#   launch/again.sh COMMAND [ARGUMENT …]
# A fault is: told to stop (75), another host died (76), or a signal (128 and more). What else ends
# with an error, such as a mistyped config, would do so again, and is not repeated.
# RESTARTS: at most so many (100).  PAUSE: seconds before each (5).
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
  echo "$0: ended by $code; start $((attempt + 2)) in ${PAUSE:-5} s" >&2
  sleep "${PAUSE:-5}"
done
