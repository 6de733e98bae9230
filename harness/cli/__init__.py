"""The command line. A command is a module of its own, imported only when called; errors become exit codes here."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from typing import Any, NoReturn

from harness import __version__, terminal
from harness.cli import completion, examples, missing
from harness.text import harmless
from mlperf_llama_base import interrupt
from mlperf_llama_base.errors import HarnessError, UserError, nearest

# command -> (attribute of harness.cli.<command>: a function, or a typer app with sub-commands; one line for --help)
COMMANDS: dict[str, tuple[str, str]] = {
    "quickstart": ("quickstart", "Show everything at work on the demo, in minutes."),
    "run": ("run", "Run one scenario in one mode and write the result."),
    "preflight": ("preflight", "Check machine, model, data and configuration before a run."),
    "serve": ("serve", "Answer OpenAI's API with a run's workers."),
    "benchmark": ("app", "Run whole benchmarks: datacenter, edge, coordinated; cluster: all of a cluster."),
    "tune": ("tune", "Find the highest rate that LoadGen calls valid."),
    "scaling": ("scaling", "Measure with 1, 2, 4, ... all workers and report the efficiency."),
    "judge": ("judge", "Write the verdict on a finished run again, from its files."),
    "accuracy": ("accuracy", "Score a run's accuracy log (ROUGE)."),
    "report": ("report", "Write the report of one or more runs as HTML and Markdown."),
    "compare": ("compare", "Show which settings and figures of two runs differ."),
    "summarize": ("summarize", "Print a table of scenario results from LoadGen's logs."),
    "runs": ("runs", "List the runs below a folder: date, verdict, figures, settings."),
    "watch": ("watch", "Watch a run that was started elsewhere."),
    "submission": ("app", "Build and check a submission tree."),
    "data": ("app", "Prepare, inspect and make up data sets."),
    "calibrate": ("calibrate", "Quantise a checkpoint with MLCommons' calibration set."),
    "bench": ("app", "Measure the harness itself: overhead, engine."),
}
NAME = "mlperf-llama"
PASSED_ON = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": ["-h", "--help"],
}  # to the runs that it starts
COMPLETE = "_MLPERF_LLAMA_COMPLETE"  # what a shell sets to ask for completions
HELP_PIPED = 240  # columns of a help that is piped; its boxes are as wide as that, and each option is one line
INTERNAL = "internal error"
CLICKS_INTERRUPT = 130  # what typer makes of Ctrl-C
USAGE = """Usage: mlperf-llama [--debug] COMMAND [OPTIONS]

MLPerf Inference on Llama-3.1-8B-Instruct with CNN/DailyMail.

Commands ('mlperf-llama COMMAND --help' explains each):
{commands}

Options:
  --debug     Show the traceback of an error.
  --version   Show the version.
  --install-completion, --show-completion
              Completion of commands and options for bash, zsh or fish.
  -h, --help  Show this message.

Exit codes: 0 done and valid; 1 ran, but not valid; 2 what was given is wrong;
            3 the environment is not fit; 4 the run broke.
"""


def dispatch(argv: list[str]) -> Any:
    """Run the command that ``argv`` names. Raises ``HarnessError`` and typer's own exceptions."""
    if COMPLETE in os.environ or argv[:1] in (["--install-completion"], ["--show-completion"]):
        return program().main(args=argv, prog_name=NAME, standalone_mode=False)
    if not argv or argv[0] in ("-h", "--help"):
        rows = (f"  {name:<12}{text}" for name, (_, text) in COMMANDS.items())
        sys.stdout.write(USAGE.format(commands="\n".join(rows)))
        return 0 if argv else 2
    if argv[0] == "--version":
        sys.stdout.write(f"{NAME} {__version__}\n")
        return 0
    name = argv[0]
    if name not in COMMANDS:
        raise UserError(f"command {name!r} is not known{nearest(name, COMMANDS)} ({NAME} --help lists them)")
    missing.check(argv)
    return program(name).main(args=argv[1:], prog_name=f"{NAME} {name}", standalone_mode=False)


def program(only: str | None = None) -> Any:
    """The command ``only`` as typer runs it; or all of them below one, with the options for completion."""
    import typer

    if terminal.is_piped(sys.stdout):
        from typer import rich_utils

        rich_utils.MAX_WIDTH = HELP_PIPED
    if only is None:
        completion.complete_at_once()
    app = typer.Typer(
        add_completion=only is None,
        context_settings={"help_option_names": ["-h", "--help"]},
        help=USAGE.splitlines()[2],
    )
    for name in [only] if only else COMMANDS:
        target: Any = getattr(importlib.import_module(f"{__name__}.{name}"), COMMANDS[name][0])
        if not isinstance(target, typer.Typer):
            passed_on = PASSED_ON if name == "quickstart" else None
            app.command(name=name, context_settings=passed_on, epilog=examples.epilog(name))(target)
            continue
        examples.add(target, name)
        if only:
            app = target
        else:
            app.add_typer(target, name=name)
    return typer.main.get_command(app)


def main() -> NoReturn:
    """Every error is one line; a traceback only with ``--debug``."""
    debug = "--debug" in sys.argv[1:]
    argv = [a for a in sys.argv[1:] if a != "--debug"]
    message: str | None = None
    code: Any = 0
    terminal.protect()
    interrupt.raise_on_signals()
    logging.basicConfig(format="mlperf-llama: %(message)s")
    logging.getLogger("harness").setLevel(logging.INFO)
    try:
        code = dispatch(argv)
        if code == CLICKS_INTERRUPT:
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        interrupt.taken()
        message, code = "interrupted", 4
    except Exception as error:  # noqa: BLE001  the last line of defence: still one line and an exit code
        message, code = outcome(error, argv)
        if debug and (isinstance(error, HarnessError) or message.startswith(INTERNAL)):
            traceback.print_exc()
    interrupt.over()
    if message:
        sys.stderr.write(f"mlperf-llama: {harmless(' '.join(message.split()))}\n")
    sys.stdout.flush()
    sys.exit(code if isinstance(code, int) else 0)


def outcome(error: Exception, argv: list[str]) -> tuple[str, int]:
    """The line, which may be empty, and the exit code for what a command ended with."""
    if isinstance(error, HarnessError):
        return str(error), error.exit_code
    if isinstance(error, ModuleNotFoundError) and (lacking := missing.fault(error.name, " ".join(argv[:1]) or NAME)):
        return str(lacking), lacking.exit_code
    if hasattr(error, "format_message"):  # typer's usage errors
        return usage(error, argv), 2
    if isinstance(code := getattr(error, "exit_code", None), int):  # typer.Exit
        return "", code
    return f"{INTERNAL}: {type(error).__name__}: {error} (--debug shows where)", 4


def usage(error: Any, argv: list[str]) -> str:
    """What was wrong with the options, and whose help lists them."""
    context, text = getattr(error, "ctx", None), str(error.format_message()).replace("Value error, ", "")
    called = argv[: 2 if COMMANDS.get(argv[0], ("",))[0] == "app" else 1]
    where = context.command_path if context else " ".join([NAME, *called])
    commands = getattr(context and context.command, "commands", None)
    if text == "Missing command." and commands:
        return f"{where.removeprefix(f'{NAME} ')} needs a command: {', '.join(commands)} ({where} --help explains them)"
    return f"{text} ({where} --help lists the {'commands' if commands else 'options'})"
