#!/usr/bin/env bash
# Run the Interactive scenario in performance mode: Server with limits of 500 ms (first token) and 30 ms (each other).
#
# Usage: scripts/run_interactive.sh [OPTION of 'mlperf-llama run']...
#
# Environment variables (all optional; options on the command line win):
#   MODEL        folder or Hugging Face hub id of the model (default: a small demo model)
#   DATASET      data set in MLCommons' JSON form (default: the demo articles)
#   ENGINE       transformers, vllm, openai or null (default: the profile's)
#   PROFILE      a name in harness/profiles or a YAML file (default: cpu-demo if MODEL and DATASET are not set either)
#   WORKERS      number of worker processes (default: one for each GPU)
#   TARGET_QPS   queries/s that LoadGen sends (default: the profile's or user.conf's)
#   USER_CONF    LoadGen user.conf (an example is user.conf at the top of the project)
#   OUTPUT       directory of the run (default: runs/DATE-TIME-interactive-performance)
# scripts/common.sh lists those that concern the installation.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
help_if_asked "$@"
run_benchmark interactive performance "$@"
