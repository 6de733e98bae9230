"""The run: how it is measured. Builds on ``sut`` (who answers) and ``qsl`` (what is asked)."""

__version__ = "0.1.0"
