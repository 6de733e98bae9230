#!/usr/bin/env bash
# Measure all that an hour (or two) of a rented card should tell, step by step, each a JSON file in DIR; at the end and
# after a cut the same call prints the table and goes on with what is not done.
#
# Usage: scripts/measure_gpu.sh [DIR] [OPTION of 'mlperf-llama bench card']...
#   DIR          where runs and records go (default: runs/card)
#
#   scripts/measure_gpu.sh --list                 the steps, and about how long each takes
#   scripts/measure_gpu.sh --rehearse             all of them with the null engine, in minutes, without a GPU
#   scripts/measure_gpu.sh runs/card --minutes 50 --only server --only interactive
#
# scripts/common.sh lists the environment variables that concern the installation.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/common.sh"
help_if_asked "$@"

dir=$ROOT/runs/card
if [[ $# -gt 0 && $1 != -* ]]; then
    dir=$1
    shift
fi
needed=(openai tune)
! has_nvidia_gpu || needed+=(vllm)
ensure_environment "${needed[@]}"
mlperf_llama bench card --output "$dir" "$@"
