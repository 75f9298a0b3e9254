"""Information quantities of the output law."""
