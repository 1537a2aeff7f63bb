"""Tables of what Basin costs and what it reaches, each from one command."""

import agent  # noqa: F401  before torch, as in `loops`: what is measured is what users have
