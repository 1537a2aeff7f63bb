"""Text in: one reader a file format, passages of equal length, and the words that topics are made of."""
