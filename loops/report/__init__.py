"""HTML pages and terminal tables of stored runs, comparisons and topics."""
