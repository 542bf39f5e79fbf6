"""Builds the DPDK transport."""

from setuptools import setup

setup()
