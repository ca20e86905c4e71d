"""What runs inside the image: secrets out of files, first set-up, health checks."""
