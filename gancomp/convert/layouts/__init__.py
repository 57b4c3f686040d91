"""The names under which others keep their networks, and gancomp's for the same tensors."""
