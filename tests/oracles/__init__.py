"""Naive second derivations of what the library computes; slow, plain, independent of it."""
