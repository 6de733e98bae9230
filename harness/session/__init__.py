"""The process that runs a LoadGen test. LoadGen keeps state for each process, so every run gets a fresh one."""
