"""Accelerators of BSD sockets that are preloaded into a driver: VMA, Onload, XLIO."""
