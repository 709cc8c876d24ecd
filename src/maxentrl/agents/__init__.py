"""Agents that learn from samples, each an `Agent`: a value made of pure functions."""
