#!/usr/bin/env bash
# Measures this project on one GPU or TPU in at most nine minutes, without network:
#   launch/accelerator.sh OUT
#   SMALL=1 launch/accelerator.sh OUT      the same script on a CPU, in about two minutes
# It needs the required packages and jax for the device. With pytest it also runs the tests of the
# arrays and the traces of the authors' code, with PyTorch and torchvision it also times their step.
# OUT receives the output (NAME.txt), the errors (NAME.err) and the results (NAME.json) of each part,
# and table.md, which names the parts that fail or do not fit into the time.
# Environment: PYTHON, the interpreter (default python3); MINUTES, the time (default 9).
set -uo pipefail
if [ $# -ne 1 ]; then
  echo "usage: [SMALL=1] [MINUTES=N] $0 OUT" >&2
  exit 2
fi
mkdir -p "$1" || exit 1
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python3}
small=${SMALL:-}
deadline=$((SECONDS + 60 * ${MINUTES:-9}))
: > "$out/parts.tsv"

# part NAME SECONDS COMMAND: runs a command if SECONDS remain, and stops it at the deadline.
part() {
  local name=$1 needs=$2 left=$((deadline - SECONDS)) start=$SECONDS code=0
  shift 2
  if [ "$left" -lt "$needs" ]; then
    printf '%s\tleft out: it needs %s seconds, and %s remain\t0\n' "$name" "$needs" "$left" >> "$out/parts.tsv"
    return
  fi
  echo "$name …"
  timeout "$left" "$@" > "$out/$name.txt" 2> "$out/$name.err" || code=$?
  local outcome=ok
  [ "$code" -eq 0 ] || outcome="exit code $code, see $name.txt and $name.err"
  [ "$code" -ne 124 ] || outcome="stopped at the deadline"
  printf '%s\t%s\t%s\n' "$name" "$outcome" "$((SECONDS - start))" >> "$out/parts.tsv"
}

leave_out() { printf '%s\tleft out: %s\t0\n' "$1" "$2" >> "$out/parts.tsv"; }

has() { "$python" -c "import $1" 2> /dev/null; }

bench() {
  local name=$1 needs=$2
  shift 2
  part "$name" "$needs" "$python" -m byol_jax bench "$@" --json="$out/$name.json"
}

if [ -n "$small" ]; then
  export JAX_PLATFORMS=cpu
  platform=cpu configs=configs/cifar10
  tiny=(--config.encoder.name=resnet_tiny --config.batch_size=8 --kernels)
  large=("${tiny[@]}") cifar=("${tiny[@]}")
  tests=(tests/test_arrays.py)
else
  platform=$("$python" -c 'import jax; print(jax.default_backend())') || exit 1
  configs=configs/imagenet
  # A step takes about 72 MB for each image of two views at 224 pixels, in bfloat16.
  batch=$("$python" -c '
import jax
memory = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", 16e9)
size = 32
while 2 * size * 72e6 < 0.9 * memory:
    size *= 2
print(size)') || exit 1
  large=("--config.batch_size=$batch" --config.precision=bfloat16 --kernels)
  cifar=(--config.batch_size=512 --config.precision=bfloat16)
  tests=(tests/test_arrays.py tests/test_losses_tiled.py tests/test_reference.py)
fi

part doctor 20 "$python" -m byol_jax doctor --json
bench simclr_224 90 step --config="$configs/simclr.py" --fit "${large[@]}"
bench cifar_32 40 step --config=configs/cifar10/simclr.py "${cifar[@]}"
if has torch && has torchvision; then
  export XLA_PYTHON_CLIENT_PREALLOCATE=false # leave memory for PyTorch
  bench cifar_32_torch 40 step --config=configs/cifar10/simclr.py "${cifar[@]}" --peer=torch
  bench cifar_32_compile 60 step --config=configs/cifar10/simclr.py "${cifar[@]}" --peer=torch_compile
  bench simclr_224_compile 120 step --config="$configs/simclr.py" --fit "${large[@]}" --peer=torch_compile
  unset XLA_PYTHON_CLIENT_PREALLOCATE
else
  leave_out torch "torch or torchvision is not installed"
fi
bench byol_224 90 step --config="$configs/byol.py" --fit "${large[@]}"
bench moco_224 90 step --config="$configs/moco_v2.py" --fit "${large[@]}"
if has pytest; then
  part tests 60 env BYOL_JAX_PLATFORM="$platform" "$python" -m pytest -o addopts= -m "not slow" -q \
    "${tests[@]}" -k "not 4_devices and not 2_devices"
else
  leave_out tests "pytest is not installed"
fi
bench nt_xent 30 nt_xent
bench augment 30 augment --config=configs/cifar10/simclr.py

"$python" launch/accelerator_table.py "$out"
