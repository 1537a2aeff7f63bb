"""Gold labels, measures and judges. Reports may import this package; nothing that refines may."""
