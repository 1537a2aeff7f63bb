"""Tables of what Basin costs and what it reaches, each from one command."""
