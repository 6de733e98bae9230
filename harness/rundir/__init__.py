"""What lies in a run directory: its files' names, how it is made, the typed record of what a run left."""
