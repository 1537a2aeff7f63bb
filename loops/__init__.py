"""What runs the parts: configuration, the refinement loop, its checkpoints and the command line."""
