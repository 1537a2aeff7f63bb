"""Text in: one reader per file format, passages of equal length, and topic words."""
