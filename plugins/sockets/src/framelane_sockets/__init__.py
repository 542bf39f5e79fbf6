"""The sockets transport of framelane."""
