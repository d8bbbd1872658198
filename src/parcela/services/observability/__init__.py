"""What is known of this process: audit trail, metrics, health, space on disks."""
