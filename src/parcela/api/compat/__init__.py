"""The older APIs: thin translations over the same services, with the same rights."""
