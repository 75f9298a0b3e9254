"""The search for measures that predict generalisation: scores, their errors, and the ranking."""
