"""Layouts of published checkpoints: which tensor is which layer."""
