"""Guest memory: page tables, checked access, and images' memory shared by all who start from it."""
