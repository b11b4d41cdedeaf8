"""Reading of predictions made elsewhere: finding files, mapping columns and labels, aligning rows."""
