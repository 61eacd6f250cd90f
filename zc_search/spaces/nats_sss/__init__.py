"""NATS-Bench's size space: the widths of five stages."""
