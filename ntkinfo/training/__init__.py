"""Training procedures as spectral filters, and the output law over time."""
