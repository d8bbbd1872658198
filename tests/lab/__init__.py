"""The private test lab: real services that nobody else sees, around one command.

`python -m tests.lab -- COMMAND` starts a private libvirt, PostgreSQL and MariaDB, tells the command
about them in `PARCELA_TEST_*` variables, and takes everything away when the command ends. As root the
whole lab lives in namespaces of its own (processes, mounts, network, IPC), so ports, bridges, firewall
rules and `qemu:///system` are the lab's and never the machine's. See `__main__.py` for the options.
"""
