"""Where alerts go to be read by people and programs."""
