"""What runs: slices and VMs, the templates they are made from, hosts and consoles."""
