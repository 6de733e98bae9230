#!/usr/bin/env bash
# Run a scenario in accuracy mode: every sample of the data set once, scored with ROUGE.
#
# Usage: scripts/run_accuracy.sh [OPTION of 'mlperf-llama run']...
#
# Environment variable of this script:
#   SCENARIO     offline, server, interactive or singlestream (default: offline)
#
# MODEL, DATASET, ENGINE and other environment variables describe the run: --help and scripts/scenario.sh list them.

set -euo pipefail
# shellcheck source=scripts/scenario.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/scenario.sh"
run_scenario "${SCENARIO:-offline}" accuracy "$@"
