"""Reports about machines and maintenance, as pages and files."""
