"""Measures of maps, in numpy only: each one function, with its definition and its source."""
