"""The AF_XDP transport of framelane."""
