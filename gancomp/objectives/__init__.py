"""The terms of Eq. 4."""
