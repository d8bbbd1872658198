"""Maintenance records and the activity log: one contract, two stores."""
