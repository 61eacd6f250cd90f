"""What is measured of a fresh network, each thing once, in as few passes as can be."""
