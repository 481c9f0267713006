"""From a plant's files to a ranked, dated plan: reading, reporting, and the corrosion database."""
