"""Information-theoretic analysis of infinitely wide neural networks."""
