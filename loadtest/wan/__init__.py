"""The wide area between two loopback endpoints: delay, bandwidth, lost connections, partitions."""
