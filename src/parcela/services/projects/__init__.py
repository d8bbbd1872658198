"""Classes and teams: who is in one, invitations, and quotas of people and projects."""
