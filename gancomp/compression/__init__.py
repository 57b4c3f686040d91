"""`gancomp compress`: an experiment made of a generator and a folder, and run."""
