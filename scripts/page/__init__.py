"""The page: what the tables know of the images, for a browser and for programs."""
