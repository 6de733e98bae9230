"""All that knows LoadGen: its rules, its logs, its user.conf, TEST06, early stopping, and its one caller."""
