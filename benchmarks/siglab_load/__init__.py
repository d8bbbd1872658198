"""The load promise of siglab: requests per second against one instance, by locust."""
