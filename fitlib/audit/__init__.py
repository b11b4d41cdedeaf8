"""Verification of result folders, and their export as an archive (RO-Crate) that can be verified in turn."""
