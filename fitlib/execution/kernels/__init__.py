"""Kernels: started cold or forked from a template process, and driven by papermill."""
