"""The zero-cost runner: architectures to scores, here or in processes, kept, in a file."""
