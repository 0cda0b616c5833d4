"""Where an environment keeps data: buckets, file systems, images. None of it is ever replaced."""
