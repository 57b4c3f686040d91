"""The typed configuration. Imports no torch."""
