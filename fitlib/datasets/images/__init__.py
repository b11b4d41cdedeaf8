"""Images: files in folders or tables, decoded once into arrays."""
