"""The System Under Test: who answers. Knows neither the data set nor how a run is measured."""
