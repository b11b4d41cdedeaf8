"""Training with torch: the loop, noise, batches and evaluation."""
