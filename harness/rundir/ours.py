"""Which files in a directory this program wrote: by exact name, and by what stands in them.

Only these are ever replaced or removed. A name that we use may be somebody else's too: ``result.json`` of another
tool, a ``config.yaml`` written by hand. So a file counts as ours only if it also has the mark of what we write there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.rundir import names
from harness.rundir.files import read_mapping
from mlperf_llama_base.errors import UserError
from mlperf_llama_base.files import WRITTEN_BY, is_sealed

Check = Callable[[Path], bool]
HEAD_BYTES = 4096


def foreign(directory: Path) -> Iterator[Path]:
    """What lies in ``directory`` and was not written by us, at any depth, in order."""
    for path in sorted(directory.iterdir()):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            yield path
        elif path.is_dir():
            if path.name == names.WORKERS:
                yield from (child for child in sorted(path.iterdir()) if not _is_worker_log(child))
            elif re.fullmatch(r"confirm-\d+", path.name):
                yield from foreign(path)
            else:
                yield path
        elif not is_ours(path):
            yield path


def is_ours(path: Path) -> bool:
    """Whether a file was written by us. One that a write left that was cut short counts: ``.status.4711.json``."""
    half = re.fullmatch(r"\.(.+)\.\d+(\.[a-z]+)", path.name)
    if half and half[1] + half[2] in MARKS:
        return True
    check = MARKS.get(path.name)
    if check is None and re.fullmatch(r"raw(-batches-of-\d+)?\.json", path.name):
        check = _json("tokens_per_second")
    try:
        return check is not None and check(path)
    except OSError:
        return False


def _is_worker_log(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and re.fullmatch(r"worker-\d+\.log", path.name) is not None


def _json(*keys: str) -> Check:
    """A JSON mapping that has these keys."""

    def check(path: Path) -> bool:
        try:
            tree = read_mapping(path)
        except UserError:
            return False
        return tree is not None and set(keys) <= tree.keys()

    return check


def _begins(*heads: str, empty: bool = False) -> Check:
    """A text that begins so, or an empty one."""

    def check(path: Path) -> bool:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES).decode("utf-8", errors="replace").lstrip()
        return head.startswith(heads) or (empty and not head)

    return check


def _holds(mark: str) -> Check:
    """A text whose last part holds the mark."""

    def check(path: Path) -> bool:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - HEAD_BYTES, 0))
            return mark.encode() in file.read()

    return check


def _columns(*wanted: str) -> Check:
    """A Parquet file that has these columns."""

    def check(path: Path) -> bool:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return set(wanted) <= set(pq.read_schema(path).names)
        except (pa.ArrowException, OSError):
            return False

    return check


def _by_name(_: Path) -> bool:
    """A log, or an unfinished file, whose name nobody else uses in a directory of a run."""
    return True


def _is_summary(path: Path) -> bool:
    """LoadGen's, of a performance or an accuracy run, or empty because the test did not end."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return not head.strip() or b"MLPerf Results Summary" in head or b"encountered during test" in head


REPORT_MARK = "<!-- written by mlperf-llama report -->"
MARKS: dict[str, Check] = {
    names.LOCK: _json("pid", "node", "command"),
    names.CONFIG: is_sealed,
    names.USER_CONF: _begins(WRITTEN_BY),
    names.AUDIT_CONF: _begins("*.*.mode = 2"),
    names.STATUS: _json("phase", "scenario"),
    names.SESSION: _json("outcome", "scenario"),
    names.SERVE: _json("outcome", "address", "names"),
    names.RESULT: _json("valid", "submittable"),
    names.PREFLIGHT: _json("findings", "facts"),
    names.SYSTEM: _json("cpu", "software"),
    names.ACCURACY_JSON: _json("rouge1", "gen_num"),
    names.ACCURACY_TEXT: _begins("{'rouge1'"),
    names.ACCURACY_SAMPLES: _columns("qsl_idx", "rouge1"),
    names.EVENTS: _columns("sample_id", "complete_ns"),
    names.METRICS: _columns("t_s", "node", "source", "name", "value"),
    "metrics.arrows": _by_name,
    "metrics.part": _by_name,
    names.SESSION_LOG: _by_name,
    names.SUMMARY_LOG: _is_summary,
    names.DETAIL_LOG: _begins(":::MLLOG", empty=True),
    names.ACCURACY_LOG: _begins("[", empty=True),
    "mlperf_log_trace.json": _begins("[", "{", empty=True),
    names.TUNE: _json("probes", "options"),
    names.EXECUTION: _json("parts", "findings"),
    names.REPORT_HTML: _holds(REPORT_MARK),
    names.REPORT_MARKDOWN: _holds(REPORT_MARK),
    "raw.log": _by_name,
    "bench.json": _json("workers"),
    "hold": lambda path: not path.stat().st_size,
    "go": lambda path: re.fullmatch(r"\d+\.\d+", path.read_text().strip()) is not None,
}
