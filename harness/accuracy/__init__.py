"""Accuracy: read LoadGen's accuracy log, decode it, score it as the public reference does, without any download."""
