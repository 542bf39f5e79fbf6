"""The DPDK transport of framelane."""
