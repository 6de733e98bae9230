"""Worker processes: one engine each, placed on this machine or by Ray on many."""
