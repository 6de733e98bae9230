"""Does it count? The gate judges the record of a run; the result is what it found."""
