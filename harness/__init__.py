"""The run: how it is measured. Builds on ``sut`` (who answers) and ``qsl`` (what is asked)."""

__version__ = "0.2.0"
