"""What images and wheels are, told to people and programs."""
