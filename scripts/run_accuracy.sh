#!/usr/bin/env bash
# Run a scenario in accuracy mode: every sample of the data set once, scored with ROUGE.
#
# Usage: scripts/run_accuracy.sh [OPTION of 'mlperf-llama run']...
#
# Environment variables (all optional; options on the command line win):
#   MODEL        folder or Hugging Face hub id of the model (default: a small demo model)
#   DATASET      data set in MLCommons' JSON form (default: the demo articles)
#   ENGINE       transformers, vllm, openai or null (default: the profile's)
#   PROFILE      a name in harness/profiles or a YAML file (default: cpu-demo if MODEL and DATASET are not set either)
#   WORKERS      number of worker processes (default: one for each GPU)
#   SCENARIO     offline, server, interactive or singlestream (default: offline)
#   TARGET_QPS   samples/s or queries/s to expect, as in performance mode
#   USER_CONF    LoadGen user.conf (an example is user.conf at the top of the project)
#   OUTPUT       directory of the run (default: runs/DATE-TIME-SCENARIO-accuracy)
# scripts/common.sh lists those that concern the installation.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
help_if_asked "$@"
run_benchmark "${SCENARIO:-offline}" accuracy "$@"
