"""What nodes that measure say to those that collect, pushed or pulled: its form, and storing it."""
