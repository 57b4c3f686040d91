"""The stages as files: what each reads, depends on and leaves."""
