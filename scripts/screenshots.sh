#!/usr/bin/env bash
# Make the pictures in docs/images from real runs: the report (needs Chromium) and the progress display.
#
# Usage: scripts/screenshots.sh RUN_DIR [RUN_DIR]...
#
# The first run's status.json gives the progress display; the report is made of all runs.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
help_if_asked "$@"
[[ $# -gt 0 ]] || fail "give the directory of a run"

images=$ROOT/docs/images
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$images"

mlperf_llama report "$@" --output "$scratch/report.html"
shoot() { # shoot NAME WIDTH HEIGHT [FLAG...]
    chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync \
        --hide-scrollbars --user-data-dir="$scratch/profile" --window-size="$2,$3" "${@:4}" \
        --screenshot="$images/$1.png" "file://$scratch/report.html" >/dev/null 2>&1
    say "$images/$1.png"
}
shoot report 1100 1700
shoot report-dark-phone 420 1500 --force-dark-mode --blink-settings=preferredColorScheme=0

"$VENV/bin/python" - "$1" "$images/progress.svg" <<'PYTHON'
import sys
from pathlib import Path

from rich.console import Console

from harness.progress import Progress, read_status

console = Console(record=True, width=110, force_terminal=True, file=open("/dev/null", "w"))
console.print(Progress(read_status(Path(sys.argv[1])) or {}))
console.save_svg(sys.argv[2], title="mlperf-llama run")
PYTHON
say "$images/progress.svg"
