"""Was the model calibrated on what it is measured on? Then its accuracy says nothing.

Rule: mlcommons/inference_policies inference_rules.adoc, Weight Definition and Quantization.
"""

from __future__ import annotations

from harness.inventory.calibration import read_calibration
from harness.preflight.base import Check, Context, Finding, fail, passed, skipped, warn
from mlperf_llama_base.errors import UserError


class CalibrationData(Check):
    """Compares the rows that a calibrated model's record names with the data set, by article and by token ids."""

    name = "calibration data"
    of_input = True

    def run(self, context: Context) -> Finding:
        if context.model is None:
            return skipped("no model folder")
        try:
            record = read_calibration(context.model.path)
        except UserError as error:
            return fail(str(error), "")
        if record is None:
            return skipped("the model has no record of a calibration")
        if context.dataset is None:
            return skipped("no data set to compare with")
        from qsl.overlap import shared_rows

        shared = shared_rows(context.dataset, record.marks)
        told = f"{record.data.rows:,} rows of {record.data.file}"
        if shared:
            return warn(
                f"{len(shared):,} rows of the data set are among those that the model was calibrated on ({told}); the "
                f"first is row {shared[0]}",
                "calibrate with MLCommons' calibration set: 'mlperf-llama calibrate'",
                blocks_submission=True,
            )
        return passed(f"{record.recipe.scheme}, calibrated on {told}; none of them is in the data set")
