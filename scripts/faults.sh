#!/usr/bin/env bash
# Repeat what docs/faults.md tells: every test that it names, with longer searches for what breaks. Takes long.
#
# Usage: scripts/faults.sh [OPTION of pytest]...
#
# Environment variables (all optional):
#   FAULT_EXAMPLES   damaged directories that each search tries (default: 200)
# scripts/common.sh lists those that concern the installation.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/common.sh"
help_if_asked "$@"

cd -- "$ROOT"
ensure_environment dev
export FAULT_EXAMPLES=${FAULT_EXAMPLES:-200} OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} HF_HUB_OFFLINE=1
mapfile -t tests < <(grep -oE '[a-z0-9_/]+/test_[a-z0-9_]+\.py' docs/faults.md | sort -u | sed 's,^,tests/,')
exec "$VENV/bin/python" -m pytest -m "not vllm" "${tests[@]}" "$@"
