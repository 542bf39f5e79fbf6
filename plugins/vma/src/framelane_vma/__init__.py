"""The VMA transport of framelane."""
