"""Data: sources (fetch, verify, read), builders of aligned pictures, and the data sets that training reads."""
