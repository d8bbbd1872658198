"""Limits on guessing: attempts to sign in, and the counters that delay them."""
