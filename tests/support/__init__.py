"""What several tests share: simulated and real drivers, raw clients, network namespaces, streams of known bytes."""
