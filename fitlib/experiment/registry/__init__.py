"""The registry of methods, data sets, networks and noises, with their options. Importing it loads nothing heavy."""
