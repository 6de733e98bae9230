#!/usr/bin/env bash
# Make the pictures in docs/images from real runs: the report (needs Chromium) and the progress display.
#
# Usage: scripts/screenshots.sh RUN_DIR [RUN_DIR]...
#
# The progress display shows the first run's status.json; the report covers all runs. Of the directory of a cluster's
# benchmarks there is no display, and its pictures are called cluster-report.
#
# Environment variables (all optional):
#   IMAGES       folder for the pictures (default: docs/images)
# scripts/common.sh lists those that concern the installation.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/common.sh"
help_if_asked "$@"
[[ $# -gt 0 ]] || die 2 "give one or more run directories: scripts/screenshots.sh RUN_DIR..."
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
    die 3 "Chromium is missing: install it (Debian: apt install chromium)"
ensure_environment report

images=${IMAGES:-$ROOT/docs/images}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$images"

# shoot NAME WIDTH HEIGHT [FLAG...]: a picture of the report
shoot() {
    if ! "$chromium" --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking \
        --disable-sync --hide-scrollbars --user-data-dir="$scratch/profile" --window-size="$2,$3" "${@:4}" \
        --screenshot="$images/$1.png" "file://$scratch/report.html" >"$scratch/log" 2>&1; then
        tail -n 5 -- "$scratch/log" >&2
        die 3 "Chromium made no picture of the report"
    fi
    say "$images/$1.png"
}
mlperf_llama report "$@" --output "$scratch/report.html"
name=report
[[ ! -f $1/execution.json ]] || name=cluster-report
shoot "$name" 1100 1700
shoot "$name-dark-phone" 420 1500 --force-dark-mode --blink-settings=preferredColorScheme=0
[[ -f $1/status.json ]] || exit 0

"$VENV/bin/python" - "$1" "$images/progress.svg" <<'PYTHON'
import os
import sys
from pathlib import Path

from rich.console import Console

from harness.progress import Progress, read_status

with open(os.devnull, "w") as nowhere:
    console = Console(record=True, width=110, force_terminal=True, file=nowhere)
    console.print(Progress(read_status(Path(sys.argv[1])) or {}))
console.save_svg(sys.argv[2], title="mlperf-llama run")
PYTHON
say "$images/progress.svg"
