"""A command as the child of another: it ends with that, also where that is killed (SIGKILL), so that a server leaves
its port before the same command is given again.
"""

from __future__ import annotations

from harness.cli import main
from mlperf_llama_base import child
from mlperf_llama_base.orphans import die_with_parent

if __name__ == "__main__":
    die_with_parent(child.parent())
    main()
