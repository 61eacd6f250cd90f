"""Files and texts from elsewhere, mutated at random: every one is read or refused in a sentence."""
