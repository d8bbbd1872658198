"""The older API ``vms``: ``/login``, ``/users/``, ``/vms/`` and their two WebSockets."""
