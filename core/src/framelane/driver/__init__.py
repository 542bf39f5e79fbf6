"""The media driver: its settings, its control plane and its life cycle."""
