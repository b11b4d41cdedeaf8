"""The published study: its files, tables and figures recomputed, and what its defects change."""
