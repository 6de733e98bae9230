"""The command line. A command is a module of its own, imported only when called; errors become exit codes here."""

from __future__ import annotations

import importlib
import logging
import sys
import traceback
from typing import Any, NoReturn

from harness import __version__
from mlperf_llama_base.errors import HarnessError, UserError, nearest

# command -> (attribute of harness.cli.<command>: a function, or a typer app with sub-commands; one line for --help)
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "Run one scenario in one mode and write the result."),
    "preflight": ("preflight", "Check machine, model, data and configuration before a run."),
    "benchmark": ("app", "Run everything a submission needs: datacenter, edge, coordinated."),
    "tune": ("tune", "Find the highest rate that LoadGen calls valid."),
    "scaling": ("scaling", "Measure 1, 2, 4 ... all workers and tell the efficiency."),
    "accuracy": ("accuracy", "Score a run's accuracy log (ROUGE)."),
    "report": ("report", "Write the report of one or more runs as HTML and Markdown."),
    "compare": ("compare", "Tell which settings and figures of two runs differ."),
    "summarize": ("summarize", "Print a table of scenario results from LoadGen's logs."),
    "watch": ("watch", "Watch a run that was started elsewhere."),
    "submission": ("app", "Build and check a submission tree."),
    "data": ("app", "Prepare, inspect and synthesize data sets."),
    "bench": ("app", "Measure the harness itself: overhead, engine."),
}
CLICKS_INTERRUPT = 130  # what typer makes of Ctrl-C
USAGE = """Usage: mlperf-llama [--debug] COMMAND [OPTIONS]

MLPerf Inference on Llama-3.1-8B-Instruct with CNN/DailyMail.

Commands ('mlperf-llama COMMAND --help' tells more):
{commands}

Options:
  --debug     Show the traceback of an error.
  --version   Show the version.
  -h, --help  Show this message.

Exit codes: 0 done and valid; 1 ran, but not valid; 2 what was given is wrong;
            3 the environment is not fit; 4 the run broke.
"""


def dispatch(argv: list[str]) -> Any:
    """Run the command that ``argv`` names. Raises ``HarnessError`` and typer's own exceptions."""
    if not argv or argv[0] in ("-h", "--help"):
        rows = (f"  {name:<12}{text}" for name, (_, text) in COMMANDS.items())
        sys.stdout.write(USAGE.format(commands="\n".join(rows)))
        return 0 if argv else 2
    if argv[0] == "--version":
        sys.stdout.write(f"mlperf-llama {__version__}\n")
        return 0
    name = argv[0]
    if name not in COMMANDS:
        raise UserError(f"command {name!r} is not known{nearest(name, COMMANDS)} (mlperf-llama --help lists them)")

    import typer

    target: Any = getattr(importlib.import_module(f"harness.cli.{name}"), COMMANDS[name][0])
    if not isinstance(target, typer.Typer):
        app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
        app.command(name=name)(target)
        target = app
    command = typer.main.get_command(target)
    return command.main(args=argv[1:], prog_name=f"mlperf-llama {name}", standalone_mode=False)


def main() -> NoReturn:
    """Every error is one line; a traceback only with ``--debug``."""
    debug = "--debug" in sys.argv[1:]
    message: str | None = None
    code: Any = 0
    logging.basicConfig(format="mlperf-llama: %(message)s")
    logging.getLogger("harness").setLevel(logging.INFO)
    try:
        code = dispatch([a for a in sys.argv[1:] if a != "--debug"])
        if code == CLICKS_INTERRUPT:
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        message, code = "interrupted", 4
    except HarnessError as error:
        message, code = str(error), error.exit_code
        if debug:
            traceback.print_exc()
    except Exception as error:  # noqa: BLE001  the last line of defence: still one line and an exit code
        code = getattr(error, "exit_code", None)  # typer's Exit and usage errors carry one
        if hasattr(error, "format_message"):
            command = " ".join(["mlperf-llama", *(a for a in sys.argv[1:2] if a in COMMANDS)])
            message, code = f"{error.format_message()} ({command} --help lists the options)", 2
        elif code is None:
            message, code = f"internal error: {type(error).__name__}: {error} (--debug shows where)", 4
            if debug:
                traceback.print_exc()
    if message:
        sys.stderr.write(f"mlperf-llama: {message}\n")
    sys.exit(code if isinstance(code, int) else 0)
