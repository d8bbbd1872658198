"""What happened: the stored sequence of events, who may see which, and its streams."""
