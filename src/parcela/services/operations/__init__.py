"""Durable work: plans of steps, the journal, and what an end means."""
