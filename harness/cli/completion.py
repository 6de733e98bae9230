"""What typer's completion lacks: in zsh the first Tab of a new shell completes nothing.

zsh loads the file ``_mlperf-llama`` as the body of a function at that Tab, and typer's script only defines its
completion there. Here it is called as well.
"""

from __future__ import annotations

AT_ONCE = '\n[[ ${funcstack[1]} != _%(prog_name)s ]] || %(complete_func)s "$@"\n'


def complete_at_once() -> None:
    """Amend typer's script for zsh. A typer without that table keeps its own script."""
    from typer import _completion_shared

    scripts: dict[str, str] = getattr(_completion_shared, "_completion_scripts", {})
    if "zsh" in scripts and not scripts["zsh"].endswith(AT_ONCE):
        scripts["zsh"] += AT_ONCE
