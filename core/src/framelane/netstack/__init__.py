"""What the kernel knows of the network: interfaces, addresses and routes."""
