"""What VMs are made of: images and their files, flavours, zones."""
