"""Several dispatching processes behind one LoadGen (``dispatch.processes``).

A *share* is a hub with some of the workers, in a process of its own (:mod:`sut.front.share`). The *front*
(:mod:`sut.front.front`) is what is left beside LoadGen: it hands on what is issued and what is answered, as arrays, and
its ledger (:mod:`sut.front.ledger`) knows of every sample which share has it.
"""
