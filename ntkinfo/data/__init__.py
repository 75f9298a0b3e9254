"""Data sets: bundled, synthetic, from files."""
