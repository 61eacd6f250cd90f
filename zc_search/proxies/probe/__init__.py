"""What is measured of a fresh network, each thing once, in as few passes as can be."""

VERSION = 2
"""Goes up when a measurement gives other numbers, so that no old score is reused."""
