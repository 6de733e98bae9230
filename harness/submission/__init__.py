"""From finished runs to a directory that MLCommons accepts: build it, describe it, check it."""
