"""The command line. Torch is imported by the commands alone that need it."""
