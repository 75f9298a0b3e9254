"""Optimal trade-offs between what a representation keeps of its input and what it says about a target."""
