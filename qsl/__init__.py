"""The Query Sample Library: what is asked. Data sets of token ids, their samples in memory, and how they are made.

Knows neither LoadGen nor the system under test. Text is read only to make a data set and to score one.
"""
