"""The lab's machines: their status, maintenance records and plans, files and labels."""
