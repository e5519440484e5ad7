"""A Python server for the interoperability tests, with the Go peer's flags and commands."""
