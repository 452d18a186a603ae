"""The code of the command `prepare`, which converts image files to data sets."""
