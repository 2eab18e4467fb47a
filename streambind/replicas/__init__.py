"""Read models held against what they should be, and made anew."""
