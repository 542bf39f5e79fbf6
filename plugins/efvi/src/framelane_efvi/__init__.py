"""The ef_vi transport of framelane."""
