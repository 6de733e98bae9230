"""What all three packages share: the error families and naming the nearest alternative. Imports nothing heavy."""
