#!/usr/bin/env bash
# From a fresh clone to MLPerf runs of a real Llama model on real text, with ROUGE scores: no GPU, no account needed.
#
# Usage: scripts/quickstart.sh [DIR] [OPTION of 'mlperf-llama run']...
#
# Makes the environment in .venv, fetches a small demo model (SmolLM2-135M-Instruct), runs Offline performance, Offline
# accuracy and Server performance into DIR (default: runs/quickstart) and prints a table. Earlier runs in DIR are
# replaced. On two cores with nothing else to do LoadGen calls all three VALID; none could be submitted, and each says why.
# Exit code 0 means that all three ran. What they printed is in DIR/*.log.
#
# Environment variables (all optional):
#   PROFILE      another profile than cpu-demo
# scripts/common.sh lists those that concern the installation.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/common.sh"
help_if_asked "$@"

dir=$ROOT/runs/quickstart
if [[ $# -gt 0 && $1 != -* ]]; then
    dir=$1
    shift
fi
ensure_environment
mlperf_llama quickstart "$dir" ${PROFILE:+--profile "$PROFILE"} "$@"
