"""TCP mode's broker: brings the two ends of a connection together, and is out of the way from then on."""
