"""The edge: HTTP front, policy, image verification, tiers; `edge.vmm` holds the virtual machine monitor."""
