"""Tables of an experiment: pandas frames in, pandas frames out, with their schemas."""
