"""From a BF16 checkpoint to a quantised one: weights, and static scales measured on MLCommons' calibration set.

llm-compressor does the work (``compressor``). What is around it is here: what to make (``scheme``), on which data and
never the evaluation's (``data``), whether the result holds what it should (``scales``), and the record of it all that
the folder keeps (``order``, ``harness.inventory.calibration``).
"""
