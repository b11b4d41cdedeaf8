"""Training with torch: loop, noise, batches, evaluation."""
