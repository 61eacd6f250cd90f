"""Atomic files, code named as ``module:name``, passwords, foreign pickles: one of each."""
