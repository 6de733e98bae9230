"""What machine this is, and which model: GPUs, host, weights."""
