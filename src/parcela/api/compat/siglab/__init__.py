"""The older API ``siglab``: Spanish routes and fields over the same services and rights."""
