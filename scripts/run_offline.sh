#!/usr/bin/env bash
# Run the Offline scenario in performance mode: throughput, with all samples given at once.
#
# Usage: scripts/run_offline.sh [OPTION of 'mlperf-llama run']...
#
# MODEL, DATASET, ENGINE and other environment variables describe the run: --help and scripts/scenario.sh list them.

set -euo pipefail
# shellcheck source=scripts/scenario.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/scenario.sh"
run_scenario offline performance "$@"
