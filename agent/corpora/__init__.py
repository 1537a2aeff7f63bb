"""Where text and weights come from: registries with pinned hashes, local files, and the hub by name."""
