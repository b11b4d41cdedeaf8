"""The results of an experiment as an object: tables, plan, runs, predictions."""
