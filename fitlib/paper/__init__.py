"""The published study (Qian et al.): its files, its tables and figures recomputed, and the effects of its defects."""
