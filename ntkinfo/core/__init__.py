"""Records, checks and linear algebra that every other column uses; imports nothing internal."""
