"""``python -m harness`` is the same as ``mlperf-llama``."""

from harness.cli import main

if __name__ == "__main__":
    main()
