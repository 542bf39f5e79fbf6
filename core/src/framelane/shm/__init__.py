"""The files that a driver shares with its clients."""
