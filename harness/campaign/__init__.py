"""A campaign: every run that a submission needs, in an order that loses little time when something is wrong."""
