"""Verification: is a folder what its runs left behind, and an archive (RO-Crate) to share it and to check it."""
