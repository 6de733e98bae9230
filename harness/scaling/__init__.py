"""How a machine, or a room of them, scales: against one GPU of each kind measured in the same run, with intervals."""
