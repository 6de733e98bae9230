"""Columns and units of the Parquet files that a run leaves, said once: the schemas, the reference, and every reader.

A column's unit and meaning stand in the file itself too, as metadata of its field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """``kind``: Arrow's name of its type. ``unit``: empty for what has none."""

    name: str
    kind: str
    unit: str
    text: str


FROM_START = "since the first issue of the test"
EVENTS = (
    Column("sample_id", "uint64", "", "LoadGen's id of the query sample"),
    Column("qsl_idx", "int32", "", "Number of the sample in the data set"),
    Column("issue_ns", "int64", "ns", f"When LoadGen issued it (in Server: when it was due), {FROM_START}"),
    Column("dispatch_ns", "int64", "ns", "When it was last handed to a worker"),
    Column("first_token_ns", "int64", "ns", "When its first token arrived; null where none is reported (Offline)"),
    Column("complete_ns", "int64", "ns", "When its answer arrived"),
    Column("input_tokens", "int32", "tokens", "Length of its prompt"),
    Column("output_tokens", "int32", "tokens", "Length of its answer, EOS included"),
    Column("worker", "int16", "", "Number of the worker that completed it, as in session.json"),
    Column("attempts", "int8", "", "How often it was handed out; 1 unless a worker or an answer was lost"),
)
METRICS = (
    Column("t_s", "double", "s", "Unix time of the reading, by the clock of its machine"),
    Column("node", "string", "", "Machine"),
    Column("source", "string", "", "What was read: gpu0, cpu, mem, net, run, worker0, ..."),
    Column("name", "string", "", "Which reading of it; the table below has all"),
    Column("value", "double", "", "The reading, in the unit of its name"),
)
UNIX = "Unix time by the clock of the machine with the command"
SAMPLES = (
    Column("part", "string", "", "Benchmark: datacenter, distributed, coordinated"),
    Column("run", "string", "", "Run of the part"),
    Column("scenario", "string", "", "LoadGen's scenario"),
    Column("mode", "string", "", "performance, accuracy or compliance"),
    Column("node", "string", "", "Machine of the worker that completed it"),
    Column("worker", "int64", "", "Number of that worker in its run"),
    Column("gpu", "string", "", "Its GPU, null without one"),
    Column("qsl_idx", "int64", "", "Number of the sample in the data set"),
    Column("issue_s", "double", "s", f"When it was issued; {UNIX}, a member's corrected by its measured offset"),
    Column("dispatch_s", "double", "s", "When it was last handed to a worker"),
    Column("first_token_s", "double", "s", "When its first token arrived; NaN where none is reported (Offline)"),
    Column("complete_s", "double", "s", "When its answer arrived"),
    Column("input_tokens", "int64", "tokens", "Length of its prompt"),
    Column("output_tokens", "int64", "tokens", "Length of its answer, EOS included"),
    Column("attempts", "int64", "", "How often it was handed out"),
)


@dataclass(frozen=True)
class Reading:
    """A ``name`` of metrics.parquet. ``grows``: a counter; a rate is its difference over time."""

    source: str
    name: str
    unit: str
    text: str
    grows: bool = False


READINGS = (
    Reading("gpu", "utilisation_pct", "%", "Share of the last moment in which a kernel ran (NVML)"),
    Reading("gpu", "memory_used_bytes", "bytes", "Memory in use"),
    Reading("gpu", "power_w", "W", "Power drawn"),
    Reading("gpu", "energy_j", "J", "Energy since the driver was loaded", grows=True),
    Reading("gpu", "sm_clock_mhz", "MHz", "Clock of the multiprocessors"),
    Reading("gpu", "memory_clock_mhz", "MHz", "Clock of the memory"),
    Reading("gpu", "temperature_c", "°C", "Temperature of the chip"),
    Reading("gpu", "throttle_reasons", "", "Bits of NVML's reasons for a lower clock; 0: none"),
    Reading("cpu", "utilisation_pct", "%", "Mean over all cores since the reading before"),
    Reading("cpu", "busiest_core_pct", "%", "Of the busiest core"),
    Reading("cpu", "load_1min", "", "Load average of one minute"),
    Reading("mem", "used_bytes", "bytes", "Memory that is not available to new processes"),
    Reading("mem", "total_bytes", "bytes", "Memory of the machine"),
    Reading("net", "sent_bytes", "bytes", "Over all interfaces but loopback", grows=True),
    Reading("net", "received_bytes", "bytes", "Over all interfaces but loopback", grows=True),
    Reading("run", "issued", "samples", "Issued by LoadGen so far", grows=True),
    Reading("run", "completed", "samples", "Completed so far", grows=True),
    Reading("run", "tokens", "tokens", "Made so far, those of unfinished answers included", grows=True),
    Reading("run", "tokens_per_s", "tokens/s", "Made, over the last 5 s"),
    Reading("run", "samples_per_s", "samples/s", "Completed, over the last 5 s"),
    Reading("run", "ttft_p99_ms", "ms", "99th percentile of TTFT over the last 20,000 samples"),
    Reading("run", "tpot_p99_ms", "ms", "99th percentile of TPOT over the last 20,000 samples"),
    Reading("run", "retried", "samples", "Given to another worker so far", grows=True),
    Reading("run", "restarts", "", "Of workers so far", grows=True),
    Reading("worker", "outstanding", "samples", "In its hands"),
    Reading("worker", "running", "samples", "That its engine computes"),
    Reading("worker", "waiting", "samples", "That wait in it"),
    Reading("worker", "samples", "samples", "Completed so far", grows=True),
    Reading("worker", "tokens", "tokens", "Made so far, those of unfinished answers included", grows=True),
    Reading("worker", "tokens_per_s", "tokens/s", "Made, over the last 5 s"),
    Reading("worker", "restarts", "", "So far", grows=True),
    Reading("worker", "rss_bytes", "bytes", "Resident memory of its process"),
)


def schema(columns: tuple[Column, ...]) -> pa.Schema:
    """Arrow's schema, with unit and meaning as metadata of each field."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field(one.name, pa.type_for_alias(one.kind), metadata={"unit": one.unit, "description": one.text})
            for one in columns
        ]
    )
