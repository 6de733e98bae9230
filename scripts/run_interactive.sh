#!/usr/bin/env bash
# Run the Interactive scenario in performance mode: Server with limits of 500 ms (first token) and 30 ms (each other).
#
# Usage: scripts/run_interactive.sh [OPTION of 'mlperf-llama run']...
#
# MODEL, DATASET, ENGINE and other environment variables describe the run: --help and scripts/scenario.sh list them.

set -euo pipefail
# shellcheck source=scripts/scenario.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/scenario.sh"
run_scenario interactive performance "$@"
