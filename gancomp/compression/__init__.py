"""`gancomp compress`: create an experiment from a generator and a folder, and run it."""
