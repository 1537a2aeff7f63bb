"""Self-contained HTML pages of what is stored: nothing is fetched, and no gold label is in reach."""
